//! Drivers written by hand in WebAssembly's text format, for what a compiler would not let pass.

use std::fmt::Write as _;

use acceptance::project_root;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The core module of a driver that does nothing, and what it does instead.
#[derive(Default)]
pub(crate) struct CoreModule {
    imports: String,
    items: String,
    start: String,
    realloc: String,
    check: String,
    post_check: Option<String>,
}

impl CoreModule {
    /// Adds an item to the module.
    pub(crate) fn item(self, item: &str) -> Self {
        self.items(item, 1)
    }

    /// Adds an item as often as that.
    pub(crate) fn items(mut self, item: &str, count: usize) -> Self {
        self.items.push_str(&item.repeat(count));
        self
    }

    /// What is done as soon as it is instantiated.
    pub(crate) fn start(mut self, code: &str) -> Self {
        self.start = format!("(func $start {code}) (start $start)");
        self
    }

    /// What is done when the host asks for memory.
    pub(crate) fn realloc(mut self, code: &str) -> Self {
        self.realloc = code.to_owned();
        self
    }

    /// What `check` does.
    pub(crate) fn check(mut self, code: &str) -> Self {
        self.check = code.to_owned();
        self
    }

    /// What is done after the host has read the answer of `check`.
    pub(crate) fn post_check(mut self, code: &str) -> Self {
        self.post_check = Some(code.to_owned());
        self
    }

    /// `check` fails with a message at that place, of that length, with a hint of that discriminant.
    pub(crate) fn error(self, kind: u8, message: i32, length: i32, hint: u8) -> Self {
        self.check(&format!(
            "(i32.store8 (i32.const 512) (i32.const 1))
             (i32.store8 (i32.const 516) (i32.const {kind}))
             (i32.store (i32.const 520) (i32.const {message}))
             (i32.store (i32.const 524) (i32.const {length}))
             (i32.store8 (i32.const 528) (i32.const {hint}))"
        ))
    }

    /// Imports `log.log` as `$log`.
    pub(crate) fn import_log(mut self) -> Self {
        self.imports.push_str(
            r#"(import "machine:driver/log@0.1.1" "log" (func $log (param i32 i32 i32)))"#,
        );
        self
    }

    /// Imports `state.save` as `$save`.
    pub(crate) fn import_save(mut self) -> Self {
        self.imports.push_str(
            r#"(import "machine:driver/state@0.1.1" "save" (func $save (param i32 i32 i32)))"#,
        );
        self
    }

    /// The component.
    pub(crate) fn component(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.text()).unwrap();
        let mut resolve = Resolve::default();
        let wit = project_root().join("wit");
        let (package, _) = resolve.push_dir(wit).unwrap();
        let world = resolve.select_world(&[package], Some("driver")).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        let mut encoder = ComponentEncoder::default();
        encoder.module(&module).unwrap().encode().unwrap()
    }

    fn text(&self) -> String {
        let Self {
            imports,
            items,
            start,
            realloc,
            check,
            post_check,
        } = self;
        let machine = "(param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)";
        let mut functions = String::new();
        for (name, parameters, code) in [
            ("check", machine, check.as_str()),
            ("create", machine, ""),
            ("start", machine, ""),
            ("stop", machine, ""),
            ("kill", machine, ""),
            ("restart", machine, ""),
            ("remove", machine, ""),
            ("status", "(param i32 i32) (result i32)", ""),
            ("survey", "(param i32 i32) (result i32)", ""),
        ] {
            let export = format!("machine:driver/lifecycle@0.1.1#{name}");
            // All answers are zeroes: an `ok`, or an empty list.
            write!(
                functions,
                r#"(func (export "{export}") {parameters} {code} (i32.const 512))"#
            )
            .unwrap();
        }
        let post = post_check.as_ref().map_or_else(String::new, |code| {
            format!(
                r#"(func (export "cabi_post_machine:driver/lifecycle@0.1.1#check") (param i32) {code})"#
            )
        });
        format!(
            r#"(module
                 {imports}
                 (memory (export "memory") 2)
                 (data (i32.const 1024) "wat0.1.0")
                 (data (i32.const 1040) "\ff\fe\c3\28")
                 ;; The description: name and version.
                 (data (i32.const 16) "\00\04\00\00\03\00\00\00\03\04\00\00\05\00\00\00")
                 (global $free (mut i32) (i32.const 65536))
                 {items}
                 {start}
                 (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                   {realloc}
                   (global.get $free)
                   (global.set $free
                     (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 15)) (i32.const -16))))
                 (func (export "machine:driver/lifecycle@0.1.1#describe") (result i32) (i32.const 16))
                 {functions}
                 {post})"#
        )
    }
}
