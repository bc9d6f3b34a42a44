// gob-peer encodes and decodes with Go's encoding/gob and net/rpc, for the tests of ours.
//
//	gob-peer encode SEED COUNT   random values of random types, one stream in a line of JSON
//	gob-peer decode              reads lines of JSON with a stream and the types to decode it into; writes what it got
//	gob-peer call ADDRESS        calls the methods of the tests' server
//	gob-peer serve               serves the tests' client; writes its address; ends with its standard input
package main

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"math/rand"
	"net"
	"net/http"
	"net/netip"
	"net/rpc"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Point, Tree and Anything are what interfaces may hold besides Go's own types.
type Point struct{ X, Y int }

type Tree struct {
	Label    string
	Children []Tree
}

type Anything map[string]any

// The names of the types that interfaces may hold, where Go's own name is not it.
var names = map[reflect.Type]string{}

func register(name string, value any) {
	gob.RegisterName(name, value)
	names[reflect.TypeOf(value)] = name
}

func init() {
	register("peer.Point", Point{})
	register("*peer.Tree", &Tree{})
	register("peer.Anything", Anything{})
	register("peer.Time", time.Time{})
}

func main() {
	log.SetFlags(0)
	var err error
	switch arguments := os.Args[1:]; {
	case len(arguments) == 3 && arguments[0] == "encode":
		seed, _ := strconv.ParseInt(arguments[1], 10, 64)
		count, _ := strconv.Atoi(arguments[2])
		err = encode(rand.New(rand.NewSource(seed)), count)
	case len(arguments) == 1 && arguments[0] == "decode":
		err = decode(os.Stdin)
	case len(arguments) == 2 && arguments[0] == "call":
		err = call(arguments[1])
	case len(arguments) == 1 && arguments[0] == "serve":
		err = serve()
	default:
		err = errors.New("usage: gob-peer encode SEED COUNT | decode | call ADDRESS | serve")
	}
	if err != nil {
		log.Fatal(err)
	}
}

// ---- A value as text, as the tests make it of theirs. ----

func canonical(v reflect.Value) string {
	if encoded, ok := encoded(v); ok {
		return "b" + hex.EncodeToString(encoded)
	}
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "i" + strconv.FormatInt(v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return "u" + strconv.FormatUint(v.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		return "f" + float(v.Float())
	case reflect.Complex64, reflect.Complex128:
		return "c" + float(real(v.Complex())) + "/" + float(imag(v.Complex()))
	case reflect.String:
		return "s" + hex.EncodeToString([]byte(v.String()))
	case reflect.Pointer:
		return canonical(v.Elem())
	case reflect.Interface:
		if v.IsNil() {
			return "nil"
		}
		held := v.Elem()
		name, ok := names[held.Type()]
		if !ok {
			name = held.Type().String()
		}
		return "@" + name + "(" + canonical(held) + ")"
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return "b" + hex.EncodeToString(v.Bytes())
		}
		fallthrough
	case reflect.Array:
		var items []string
		for i := range v.Len() {
			items = append(items, canonical(v.Index(i)))
		}
		return "[" + strings.Join(items, ",") + "]"
	case reflect.Map:
		var items []string
		for iterator := v.MapRange(); iterator.Next(); {
			items = append(items, canonical(iterator.Key())+":"+canonical(iterator.Value()))
		}
		sort.Strings(items)
		return "{" + strings.Join(items, ",") + "}"
	case reflect.Struct:
		var fields []string
		for i := range v.NumField() {
			if field := v.Field(i); !empty(field) {
				fields = append(fields, v.Type().Field(i).Name+"="+canonical(field))
			}
		}
		sort.Strings(fields)
		return "<" + strings.Join(fields, ",") + ">"
	default:
		panic("no text for " + v.Type().String())
	}
}

func float(f float64) string {
	if math.IsNaN(f) {
		return "NaN"
	}
	return fmt.Sprintf("%016x", math.Float64bits(f))
}

// encoded is what a type encodes by itself.
func encoded(v reflect.Value) ([]byte, bool) {
	if !v.CanInterface() || v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, false
	}
	var bytes []byte
	var err error
	switch value := v.Interface().(type) {
	case time.Time:
		bytes, err = value.GobEncode()
	case netip.Addr:
		bytes, err = value.MarshalBinary()
	default:
		return nil, false
	}
	if err != nil {
		panic(err)
	}
	return bytes, true
}

// empty is whether a field is not in the text: it may be in the stream, or not.
func empty(v reflect.Value) bool {
	if _, ok := encoded(v); ok {
		return v.IsZero()
	}
	switch v.Kind() {
	case reflect.Struct:
		return false
	case reflect.Array, reflect.Slice, reflect.Map, reflect.String:
		return v.Len() == 0
	case reflect.Pointer:
		return v.IsNil() || empty(v.Elem())
	case reflect.Float32, reflect.Float64:
		return v.Float() == 0
	case reflect.Complex64, reflect.Complex128:
		return v.Complex() == 0
	default:
		return v.IsZero()
	}
}

// ---- Random values of random types. ----

var basic = []reflect.Type{
	reflect.TypeFor[bool](),
	reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
	reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
	reflect.TypeFor[uintptr](), reflect.TypeFor[string](), reflect.TypeFor[string](),
	reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[complex64](), reflect.TypeFor[complex128](),
}

// Numbers from 1 to here are types of keys that can be told apart.
const keys = 13

var others = []reflect.Type{
	reflect.TypeFor[any](), reflect.TypeFor[any](), reflect.TypeFor[[]byte](), reflect.TypeFor[[4]byte](),
	reflect.TypeFor[time.Time](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[Point](), reflect.TypeFor[*Point](),
	reflect.TypeFor[Tree](), reflect.TypeFor[Anything](), reflect.TypeFor[struct{}](),
}

func randomType(random *rand.Rand, depth int) reflect.Type {
	kind := random.Intn(10)
	if depth == 0 {
		kind = random.Intn(5)
	}
	switch kind {
	case 0, 1, 2:
		return basic[random.Intn(len(basic))]
	case 3, 4:
		return others[random.Intn(len(others))]
	case 5, 6:
		return reflect.SliceOf(randomType(random, depth-1))
	case 7:
		return reflect.ArrayOf(random.Intn(4), randomType(random, depth-1))
	case 8:
		key := basic[random.Intn(keys)]
		switch random.Intn(5) {
		case 0:
			key = reflect.ArrayOf(2, key)
		case 1:
			key = reflect.TypeFor[Point]()
		}
		return reflect.MapOf(key, randomType(random, depth-1))
	default:
		return randomStruct(random, depth)
	}
}

func randomStruct(random *rand.Rand, depth int) reflect.Type {
	var fields []reflect.StructField
	for i := range 1 + random.Intn(5) {
		field := randomType(random, depth-1)
		// A pointer in a field may be nil, elsewhere it must not be.
		if random.Intn(4) == 0 && field.Kind() != reflect.Interface && field.Kind() != reflect.Pointer {
			field = reflect.PointerTo(field)
		}
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: field})
	}
	return reflect.StructOf(fields)
}

func fill(random *rand.Rand, v reflect.Value, depth int) {
	// Small numbers, and those at the ends, are more interesting than their number.
	number := random.Uint64()
	switch random.Intn(4) {
	case 0:
		number %= 4
	case 1:
		number = math.MaxUint64 - number%2
	case 2:
		number = 1 << (number % 64)
	}
	switch value := v.Addr().Interface().(type) {
	case *time.Time:
		*value = time.Unix(random.Int63n(1<<36), random.Int63n(1e9)).UTC()
		return
	case *netip.Addr:
		*value = netip.AddrFrom4([4]byte{byte(number), 2, 3, 4})
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(number%2 == 1)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(number))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(number)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(randomFloat(random))
	case reflect.Complex64, reflect.Complex128:
		v.SetComplex(complex(randomFloat(random), randomFloat(random)))
	case reflect.String:
		v.SetString(text(random))
	case reflect.Pointer:
		if random.Intn(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(random, v.Elem(), depth)
		}
	case reflect.Interface:
		v.Set(anything(random, depth))
	case reflect.Slice:
		if random.Intn(6) > 0 {
			v.Set(reflect.MakeSlice(v.Type(), random.Intn(max(1, depth+1)), 10))
			for i := range v.Len() {
				fillElement(random, v.Index(i), depth-1)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			fillElement(random, v.Index(i), depth-1)
		}
	case reflect.Map:
		if random.Intn(6) > 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range random.Intn(max(1, depth+1)) {
				key, element := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				fill(random, key, depth-1)
				fillElement(random, element, depth-1)
				v.SetMapIndex(key, element)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(random, v.Field(i), depth-1)
		}
	}
}

// fillElement does not leave a pointer nil, which gob cannot send in a list.
func fillElement(random *rand.Rand, v reflect.Value, depth int) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	fill(random, v, depth)
}

func randomFloat(random *rand.Rand) float64 {
	switch random.Intn(8) {
	case 0:
		return 0
	case 1:
		return math.Inf(-1)
	case 2:
		return math.NaN()
	case 3:
		return -1.5
	default:
		return random.NormFloat64() * 1e6
	}
}

func text(random *rand.Rand) string {
	runes := make([]rune, random.Intn(12))
	for i := range runes {
		runes[i] = rune(random.Intn(0xd800))
	}
	return string(runes)
}

// anything is something that is registered, or nil.
func anything(random *rand.Rand, depth int) reflect.Value {
	held := []reflect.Type{
		reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[uint64](), reflect.TypeFor[float32](),
		reflect.TypeFor[complex128](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](), reflect.TypeFor[[]int](),
		reflect.TypeFor[[]string](), reflect.TypeFor[Point](), reflect.TypeFor[*Tree](), reflect.TypeFor[time.Time](),
	}
	if depth > 0 {
		held = append(held, reflect.TypeFor[Anything](), reflect.TypeFor[Anything]())
	}
	if random.Intn(8) == 0 {
		return reflect.Zero(reflect.TypeFor[any]())
	}
	value := reflect.New(held[random.Intn(len(held))]).Elem()
	fillElement(random, value, depth)
	return value
}

type streamLine struct {
	Stream string   `json:"stream"`
	Values []string `json:"values"`
	Types  []string `json:"types"`
}

func encode(random *rand.Rand, count int) error {
	out := bufio.NewWriter(os.Stdout)
	lines := json.NewEncoder(out)
	for range count {
		var stream bytes.Buffer
		encoder := gob.NewEncoder(&stream)
		var line streamLine
		for range 1 + random.Intn(3) {
			t := randomType(random, 3)
			if t.Kind() == reflect.Interface || t.Kind() == reflect.Pointer {
				t = randomStruct(random, 3)
			}
			// The second time its type is known.
			for range 2 {
				value := reflect.New(t).Elem()
				fill(random, value, 4)
				if err := encoder.EncodeValue(value); err != nil {
					return fmt.Errorf("%v: %w", t, err)
				}
				line.Values = append(line.Values, canonical(value))
				line.Types = append(line.Types, t.String())
			}
		}
		line.Stream = hex.EncodeToString(stream.Bytes())
		if err := lines.Encode(line); err != nil {
			return err
		}
	}
	return out.Flush()
}

// ---- Decoding into a type that the tests name. ----

type shape struct {
	Kind   string  `json:"kind"`
	Of     *shape  `json:"of"`
	Key    *shape  `json:"key"`
	Length int     `json:"length"`
	Fields []field `json:"fields"`
}

type field struct {
	Name string `json:"name"`
	Of   *shape `json:"of"`
}

func (s *shape) goType() reflect.Type {
	switch s.Kind {
	case "any":
		return reflect.TypeFor[any]()
	case "time":
		return reflect.TypeFor[time.Time]()
	case "addr":
		return reflect.TypeFor[netip.Addr]()
	case "slice":
		return reflect.SliceOf(s.Of.goType())
	case "array":
		return reflect.ArrayOf(s.Length, s.Of.goType())
	case "map":
		return reflect.MapOf(s.Key.goType(), s.Of.goType())
	case "struct":
		var fields []reflect.StructField
		for _, f := range s.Fields {
			fields = append(fields, reflect.StructField{Name: f.Name, Type: f.Of.goType()})
		}
		return reflect.StructOf(fields)
	}
	for _, t := range basic {
		if t.String() == s.Kind {
			return t
		}
	}
	panic("no type " + s.Kind)
}

func decode(in io.Reader) error {
	lines := json.NewDecoder(in)
	out := json.NewEncoder(os.Stdout)
	for {
		var line struct {
			Stream string   `json:"stream"`
			Types  []*shape `json:"types"`
		}
		if err := lines.Decode(&line); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		stream, err := hex.DecodeString(line.Stream)
		if err != nil {
			return err
		}
		decoder := gob.NewDecoder(bytes.NewReader(stream))
		var result struct {
			Values []string `json:"values"`
			Error  string   `json:"error"`
		}
		for _, s := range line.Types {
			value := reflect.New(s.goType()).Elem()
			if err := decoder.DecodeValue(value); err != nil {
				result.Error = fmt.Sprintf("%v: %v", value.Type(), err)
				break
			}
			result.Values = append(result.Values, canonical(value))
		}
		if result.Error == "" {
			if err := decoder.DecodeValue(reflect.Value{}); err != io.EOF {
				result.Error = fmt.Sprintf("after the last value: %v", err)
			}
		}
		if err := out.Encode(result); err != nil {
			return err
		}
	}
}

// ---- net/rpc. ----

// Old is what the server has; New is what its clients have.
type Old struct {
	A int
	B string
}

type New struct {
	Z []float64
	B string
	A int
	C map[string]any
	D *New
}

func call(address string) error {
	client, err := rpc.DialHTTP("tcp", address)
	if err != nil {
		return err
	}
	defer client.Close()

	for _, echo := range []struct{ method, value any }{
		{"Bool", true}, {"Bool", false},
		{"Int", 0}, {"Int", -129}, {"Int", math.MinInt64},
		{"Uint", uint64(math.MaxUint64)},
		{"Float", 17.25}, {"Float", math.Inf(1)},
		{"Complex", complex(1, -2.5)},
		{"Bytes", []byte{}}, {"Bytes", bytes.Repeat([]byte{0, 255}, 40_000)},
		{"Text", ""}, {"Text", "«ü» \x00 𝄞"},
		{"Slice", []string{}}, {"Slice", []string{"", "a"}},
		{"Array", [3]int{0, 1, -1}},
		{"Map", map[string]int{"": 0, "a": 1}},
		{"Struct", Point{}}, {"Struct", Point{0, 7}},
		{"Time", time.Unix(1_700_000_000, 5).UTC()},
		{"Addr", netip.MustParseAddr("192.0.2.1")},
		{"Any", Anything{}}, {"Any", Anything{"n": nil, "i": 1, "s": "x", "p": Point{1, 2}, "t": &Tree{"l", []Tree{{Label: "m"}}}}},
		{"Nothing", struct{}{}},
	} {
		reply := reflect.New(reflect.TypeOf(echo.value))
		if err := client.Call(fmt.Sprintf("Echo.%s", echo.method), echo.value, reply.Interface()); err != nil {
			return fmt.Errorf("%s: %w", echo.method, err)
		}
		sent := reflect.New(reflect.TypeOf(echo.value)).Elem()
		sent.Set(reflect.ValueOf(echo.value))
		if want, got := canonical(sent), canonical(reply.Elem()); want != got {
			return fmt.Errorf("%s: sent %s, got %s", echo.method, want, got)
		}
	}

	// Fields that one side only has.
	var reply New
	argument := New{Z: []float64{1}, B: "b", A: 1, C: map[string]any{"x": []string{"y"}}, D: &New{A: 2}}
	if err := client.Call("Echo.Old", argument, &reply); err != nil {
		return err
	}
	if want := (New{A: 1, B: "b"}); !reflect.DeepEqual(reply, want) {
		return fmt.Errorf("Old: %+v", reply)
	}
	var older struct{ B string }
	if err := client.Call("Echo.Old", struct{ A int }{3}, &older); err != nil || older.B != "" {
		return fmt.Errorf("older: %+v, %v", older, err)
	}

	// Errors are texts, and the connection goes on.
	for _, failing := range []struct {
		method, argument, want string
	}{
		{"Echo.Fail", "no: «ü»", "no: «ü»"},
		{"Echo.Missing", "", "rpc: can't find method Echo.Missing"},
		{"Missing.Fail", "", "rpc: can't find service Missing.Fail"},
		{"Fail", "", "rpc: service/method request ill-formed: Fail"},
		{"Echo.Defect", "", "the server has a defect in Echo.Defect"},
	} {
		err := client.Call(failing.method, failing.argument, nil)
		if server, ok := err.(rpc.ServerError); !ok || string(server) != failing.want {
			return fmt.Errorf("%s: %v", failing.method, err)
		}
	}

	// Answers out of order.
	slow := client.Go("Echo.Wait", 400, new(int), nil)
	quick := client.Go("Echo.Wait", 0, new(int), nil)
	select {
	case <-quick.Done:
	case <-slow.Done:
		return errors.New("the quick call came last")
	}
	if done := <-slow.Done; done.Error != nil || *done.Reply.(*int) != 400 {
		return fmt.Errorf("Wait: %v", done.Error)
	}

	// Calls at once.
	var group sync.WaitGroup
	failures := make(chan error, 20)
	for worker := range 20 {
		group.Add(1)
		go func() {
			defer group.Done()
			for number := range 100 {
				var got string
				want := fmt.Sprintf("%d of %d", number, worker)
				if err := client.Call("Echo.Text", want, &got); err != nil || got != want {
					failures <- fmt.Errorf("%q: got %q: %v", want, got, err)
					return
				}
			}
		}()
	}
	group.Wait()
	close(failures)
	return <-failures
}

// Echo is what the tests' client calls.
type Echo struct{}

func (Echo) Int(argument int, reply *int) error               { *reply = argument; return nil }
func (Echo) Text(argument string, reply *string) error        { *reply = argument; return nil }
func (Echo) Bytes(argument []byte, reply *[]byte) error       { *reply = argument; return nil }
func (Echo) Struct(argument Point, reply *Point) error        { *reply = argument; return nil }
func (Echo) Any(argument Anything, reply *Anything) error     { *reply = argument; return nil }
func (Echo) Time(argument time.Time, reply *time.Time) error  { *reply = argument; return nil }
func (Echo) Nothing(argument struct{}, reply *struct{}) error { return nil }
func (Echo) Old(argument New, reply *Old) error               { *reply = Old{argument.A, argument.B}; return nil }
func (Echo) Fail(argument string, reply *struct{}) error      { return errors.New(argument) }
func (Echo) Wait(argument int, reply *int) error {
	time.Sleep(time.Duration(argument) * time.Millisecond)
	*reply = argument
	return nil
}

func serve() error {
	if err := rpc.Register(Echo{}); err != nil {
		return err
	}
	rpc.HandleHTTP()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	go http.Serve(listener, nil)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
