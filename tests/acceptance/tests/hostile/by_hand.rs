//! Attacks that only who writes WebAssembly by hand can try.

use btcloud_host::sandbox::Limits;

use crate::attack::{Attack, Component, Operation, milliseconds};
use crate::core_module::CoreModule;

/// What only who writes WebAssembly by hand can try.
pub(crate) fn by_hand() -> Vec<Attack> {
    let short = |limits: &mut Limits| limits.computation = milliseconds(100);
    const COMPUTED: &str = "it computed for more than 0.1 seconds";
    const LOOP: &str = "(loop $l (br $l))";
    let base = CoreModule::default;
    let mut attacks = vec![
        Attack::core("nothing", &base()),
        Attack::core("loop in a start function", &base().start(LOOP)).limited(short).fails(COMPUTED),
        Attack::core("trap in a start function", &base().start("unreachable")).fails("unreachable"),
        Attack::core("recursion in a start function", &base().item("(func $deeper (call $deeper))").start("(call $deeper)"))
            .fails("it needs more than 1048576 bytes for its stack"),
        Attack::core("recursion", &base().item("(func $deeper (call $deeper))").check("(call $deeper)"))
            .fails("it needs more than 1048576 bytes for its stack"),
        Attack::core("recursion with a large stack", &base().item("(func $deeper (call $deeper))").check("(call $deeper)"))
            .limited(|limits| limits.stack = 32 << 20)
            .fails("it needs more than 33554432 bytes for its stack"),
        Attack::core("loop while it is given memory", &base().realloc(LOOP)).limited(short).fails(COMPUTED),
        Attack::core("trap while it is given memory", &base().realloc("unreachable")).fails("unreachable"),
        Attack::core("memory that it does not have", &base().realloc("(return (i32.const -8))")).fails("the driver crashed"),
        Attack::core("memory that is not aligned", &base().realloc("(return (i32.const 70001))").check("")).fails("the driver crashed"),
        Attack::core("a call of the host while it is given memory", &base().import_log().realloc("(call $log (i32.const 1) (i32.const 1024) (i32.const 3))")).fails("the driver crashed"),
        Attack::core("loop after its answer", &base().post_check(LOOP)).limited(short).fails(COMPUTED),
        Attack::core("trap after its answer", &base().post_check("unreachable")).fails("unreachable"),
        Attack::core("memory in a start function", &base().start("(loop $l (drop (memory.grow (i32.const 16))) (br $l))"))
            .fails("it wants more than 268435456 bytes of memory"),
        Attack::core("memory from the start", &base().item("(memory $big 10000)")).fails("it wants more than 268435456 bytes of memory"),
        Attack::core("many memories", &base().item("(memory 1000)").item("(memory 1000)").item("(memory 1000)").item("(memory 1000)").item("(memory 1000)"))
            .fails("it wants more than 268435456 bytes of memory"),
        Attack::core("memories in turn", &base().item("(memory $b 1)").check("(loop $l (drop (memory.grow (i32.const 16))) (drop (memory.grow $b (i32.const 16))) (br $l))"))
            .fails("it wants more than 268435456 bytes of memory"),
        Attack::core("a table that grows", &base().item("(table $t 1 funcref)").check("(loop $l (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $l))"))
            .fails("it wants tables of more than 100000 elements"),
        Attack::core("a table from the start", &base().item("(table 1000000 funcref)")).fails("it wants tables of more than 100000 elements"),
        Attack::core("many tables", &base().items("(table 30000 funcref)", 4)).fails("it wants tables of more than 100000 elements"),
        Attack::core("too many tables", &base().items("(table 1 funcref)", 65)).fails("it has more than 64 instances, memories or tables"),
        Attack::core("too many memories", &base().items("(memory 1)", 64)).fails("it has more than 64 instances, memories or tables"),
        Attack::core("an answer out of bounds", &base().check("(return (i32.const -4))")).fails("the driver crashed"),
        Attack::core("an answer that is not aligned", &base().check("(return (i32.const 513))")).fails("the driver crashed"),
        Attack::core("an answer of an unknown kind", &base().check("(i32.store8 (i32.const 512) (i32.const 7))")).fails("the driver crashed"),
        Attack::core("an error of an unknown kind", &base().error(200, 1024, 3, 0)).fails("the driver crashed"),
        Attack::core("an error out of bounds", &base().error(0, 1024, -1, 0)).fails("the driver crashed"),
        Attack::core("an error that wraps around", &base().error(0, -8, 16, 0)).fails("the driver crashed"),
        Attack::core("an error that is not UTF-8", &base().error(0, 1040, 4, 0)).fails("the driver crashed"),
        Attack::core("an error with an odd hint", &base().error(0, 1024, 3, 2)).fails("the driver crashed"),
        Attack::core("an error", &base().error(0, 1024, 3, 0)).fails("wat"),
        Attack::core("a line that is not UTF-8", &base().import_log().check("(call $log (i32.const 1) (i32.const 1040) (i32.const 4))")).fails("the driver crashed"),
        Attack::core("a line of no level", &base().import_log().check("(call $log (i32.const 9) (i32.const 1024) (i32.const 3))")).fails("the driver crashed"),
        Attack::core("a line out of bounds", &base().import_log().check("(call $log (i32.const 1) (i32.const 1024) (i32.const -1))")).fails("the driver crashed"),
        Attack::core("a state that is not UTF-8", &base().import_save().check("(call $save (i32.const 1040) (i32.const 4) (i32.const 600))")).fails("the driver crashed"),
        Attack::core("an answer of the host's out of bounds", &base().import_save().check("(call $save (i32.const 1024) (i32.const 3) (i32.const -8))")).fails("the driver crashed"),
        Attack::core("a status of no state", &base().item("").check("")).on(Operation::Status).fails("the status of 0 machines"),
    ];
    // Whatever is in the place of a component.
    let bytes = base().component();
    let mut spoilt = bytes.clone();
    for byte in &mut spoilt[bytes.len() / 2..] {
        *byte = byte.wrapping_mul(31).wrapping_add(7);
    }
    let compiled = {
        let engine = wasmtime::Engine::default();
        engine.precompile_component(&bytes).unwrap()
    };
    let nothings: [(&str, Vec<u8>); 6] = [
        ("nothing at all", Vec::new()),
        ("half a component", bytes[..bytes.len() / 2].to_vec()),
        ("a spoilt component", spoilt),
        ("compiled code", compiled),
        ("text", b"(component)".to_vec()),
        ("a core module", wat::parse_str("(module)").unwrap()),
    ];
    for (name, bytes) in nothings {
        attacks.push(
            Attack::of(name, Component::Bytes(bytes))
                .on(Operation::Load)
                .fails("this is not a WebAssembly component"),
        );
    }
    // A function that takes the compiler seconds.
    let bomb = "(drop (i32.mul (memory.size) (i32.add (memory.size) (memory.grow (i32.const 0)))))"
        .repeat(60_000);
    attacks.push(
        Attack::core("a function that is hard to compile", &base().check(&bomb))
            .on(Operation::Load)
            .limited(|limits| limits.compilation = milliseconds(100))
            .fails("it takes more than 0.1 seconds to compile"),
    );
    attacks
}
