//! Attacks on who reads: what would fool the user, the host's parsers or other programs.

use btcloud_host::machine::Change;

use crate::attack::{Attack, OPERATIONS, Operation, is_undone};

/// What would fool the user, the host's parsers or other programs.
pub(crate) fn deceit() -> Vec<Attack> {
    let mut attacks = vec![
        Attack::mode("escapes log").and(|outcome| {
            let expected = ["evil"; 2];
            match outcome.lines == expected {
                true => Ok(()),
                false => Err(format!("{:?}", outcome.lines)),
            }
        }),
        Attack::mode("escapes error").fails("evil"),
        Attack::mode("escapes saved").fails("wants to save control characters"),
        Attack::mark("describe escapes").fails("control characters"),
        Attack::mark("describe panic").fails("evil"),
        Attack::mark("listable panic").fails("evil"),
        Attack::mark("listable request").fails("the heading or the columns of hostile-text"),
        Attack::mark("listable escapes").fails("the heading or the columns of hostile-text"),
        Attack::mark("listable secret").fails("does not have, or that is no text"),
        Attack::mark("listable other").fails("does not have, or that is no text"),
        Attack::account("panic", Operation::Candidates).fails("evil"),
        Attack::account("escapes", Operation::Candidates),
        Attack::account("details", Operation::Candidates),
        Attack::account("error", Operation::Candidates).fails("evil"),
        Attack::account("key", Operation::Candidates).fails("outside of create"),
        Attack::account("save", Operation::Candidates).fails("outside of an operation"),
        Attack::account("escapes", Operation::Limits),
        Attack::survey("panic").fails("evil"),
        Attack::survey("escapes"),
        Attack::survey("name").fails("whose name is invalid"),
        Attack::survey("id").fails("whose id is invalid"),
        Attack::survey("saved").fails("for which it remembers what is invalid"),
        Attack::mark("describe name").fails("its name is not"),
        Attack::mark("describe variable").fails("the variable of hostile-mode"),
        Attack::mark("describe member").fails("the host's own"),
        Attack::mark("describe default").fails("does not begin with https"),
        Attack::mark("describe metadata").fails("which no driver may call"),
        Attack::mark("describe commands").fails("neither a name nor a method"),
        Attack::mark("describe request").fails("version is not"),
        Attack::mark("describe save").fails("version is not"),
        Attack::mark("describe key").fails("version is not"),
        Attack::mode("save [1]").fails("not a JSON object"),
        Attack::mode("save {").fails("not a JSON object"),
        Attack::mode("save {\"a\": 1}}").fails("not a JSON object"),
        Attack::mode("save {\"SSHKeyPath\": \"/etc/shadow\"}").fails("must not save SSHKeyPath"),
        Attack::mode("save {\"storepath\": \"/\"}").fails("must not save storepath"),
        Attack::mode("save {\"MachineID\": \"\"}").fails("must not save MachineID"),
        Attack::mode("save {\"mode\": \"\"}").fails("must not save mode"),
        Attack::mode("status none")
            .on(Operation::Status)
            .fails("the status of 0 machines"),
        Attack::mode("status argument")
            .on(Operation::Status)
            .fails("invalid SSH host"),
        Attack::mode("status argument")
            .on(Operation::Create)
            .fails("invalid SSH host"),
        Attack::mode("status user")
            .on(Operation::Status)
            .fails("invalid SSH user"),
        Attack::mode("status address")
            .on(Operation::Status)
            .fails("invalid address"),
        Attack::mode("status port")
            .on(Operation::Status)
            .fails("invalid port"),
        Attack::mode("key").fails("outside of create"),
        Attack::mode("look").fails("saw []"),
        Attack::mode("stdin").fails("read \"\""),
    ];
    for operation in OPERATIONS {
        for (mode, expected) in [
            ("panic", "evil"),
            ("trap", "unreachable"),
            ("exit", "the driver crashed"),
        ] {
            let mode = match operation {
                Operation::Change(Change::Remove) => format!("remove {mode}"),
                _ => mode.to_owned(),
            };
            let attack = Attack::mode(&mode).on(operation).fails(expected);
            attacks.push(match operation {
                Operation::Create => attack.and(is_undone),
                _ => attack,
            });
        }
    }
    attacks
}
