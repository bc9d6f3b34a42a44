// Command docker-machine-driver-gobench is a plugin on docker-machine's own library, for benchmarks alone: it answers
// what docker-machine asks about a machine that is there, with one signed call of CloudStack's API for its state, as
// drivers in Go do. It makes and changes nothing.
package main

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/docker/machine/libmachine/drivers"
	"github.com/docker/machine/libmachine/drivers/plugin"
	"github.com/docker/machine/libmachine/mcnflag"
	"github.com/docker/machine/libmachine/state"
)

var errReadOnly = errors.New("this plugin is for benchmarks and changes nothing")

// Driver is what config.json has of a machine.
type Driver struct {
	*drivers.BaseDriver
	VmId string
}

func main() {
	plugin.RegisterDriver(&Driver{BaseDriver: &drivers.BaseDriver{}})
}

func (d *Driver) DriverName() string { return "gobench" }

func (d *Driver) GetCreateFlags() []mcnflag.Flag { return nil }

func (d *Driver) SetConfigFromFlags(drivers.DriverOptions) error { return errReadOnly }

func (d *Driver) Create() error  { return errReadOnly }
func (d *Driver) Kill() error    { return errReadOnly }
func (d *Driver) Remove() error  { return errReadOnly }
func (d *Driver) Restart() error { return errReadOnly }
func (d *Driver) Start() error   { return errReadOnly }
func (d *Driver) Stop() error    { return errReadOnly }

func (d *Driver) GetSSHHostname() (string, error) { return d.GetIP() }

// GetURL tells where the Docker engine of a machine that runs is.
func (d *Driver) GetURL() (string, error) {
	if err := drivers.MustBeRunning(d); err != nil {
		return "", err
	}
	ip, err := d.GetIP()
	if err != nil {
		return "", err
	}
	return "tcp://" + ip + ":2376", nil
}

// GetState asks the cloud.
func (d *Driver) GetState() (state.State, error) {
	answer, err := http.Get(os.Getenv("BTCLOUD_ENDPOINT") + "?" + signed(map[string]string{
		"apikey":           os.Getenv("BTCLOUD_API_KEY"),
		"command":          "listVirtualMachines",
		"expires":          time.Now().Add(10 * time.Minute).UTC().Format("2006-01-02T15:04:05-0700"),
		"id":               d.VmId,
		"response":         "json",
		"signatureversion": "3",
	}, os.Getenv("BTCLOUD_SECRET_KEY")))
	if err != nil {
		return state.Error, err
	}
	defer answer.Body.Close()
	var list struct {
		Response struct {
			ErrorText string
			Machines  []struct{ State string } `json:"virtualmachine"`
		} `json:"listvirtualmachinesresponse"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
		return state.Error, err
	}
	if answer.StatusCode != http.StatusOK {
		return state.Error, fmt.Errorf("%s: %s", answer.Status, list.Response.ErrorText)
	}
	if len(list.Response.Machines) == 0 {
		return state.Error, fmt.Errorf("there is no machine %s", d.VmId)
	}
	switch list.Response.Machines[0].State {
	case "Running", "Migrating":
		return state.Running, nil
	case "Starting":
		return state.Starting, nil
	case "Stopping":
		return state.Stopping, nil
	case "Stopped":
		return state.Stopped, nil
	}
	return state.Error, nil
}

// signed is a query with CloudStack's signature: HMAC-SHA1 of the sorted parameters in lower case.
func signed(parameters map[string]string, secret string) string {
	var pairs []string
	for name, value := range parameters {
		pairs = append(pairs, name+"="+strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
	}
	sort.Strings(pairs)
	query := strings.Join(pairs, "&")
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(strings.ToLower(query)))
	return query + "&signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
