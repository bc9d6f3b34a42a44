//! What the sandbox and the plugin cost, measured against native ones in the same run. `cargo xtask bench` builds what it
//! needs; docs/performance.md tells what the figures mean.

mod native;
mod operation;
mod plugins;
mod report;
mod sample;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use acceptance::Lab;
use cloudstack_simulator::Fault;
use operation::{Form, Operations, Pauses};
use plugins::{Bench, Plugin};
use report::Report;
use sample::{Pair, Sample, shown};

/// The budget for a component, in bytes.
const COMPONENT_SIZE: u32 = 400_000;

/// The budget for a program, in bytes.
const PROGRAM_SIZE: u32 = 20_000_000;

/// How many machines are made at once.
const AT_ONCE: usize = 100;

/// How long a call of the API takes where that is not nothing.
const API_LATENCY: Duration = Duration::from_millis(100);

/// Set for a process that makes machines at once in a form, so that its memory can be told.
const FORM: &str = "BENCH_FORM";

/// Questions of a session: one that the plugin answers from what is saved, and one that it asks the cloud for.
const SAVED: &str = "GetIP";
const ASKED: &str = "GetURL";

fn main() -> ExitCode {
    if let Ok(form) = std::env::var(FORM) {
        make_at_once(&form);
        return ExitCode::SUCCESS;
    }
    let bench = Bench::new();
    // Where Go is installed, xtask has built them.
    let named = |variable| std::env::var_os(variable).map(PathBuf::from);
    let go = named("BENCH_GO_PLUGIN").map(|program| bench.go(program));
    let client = named("TEST_DOCKER_MACHINE");

    let mut report = Report::default();
    let against_go = go.as_ref().map(|go| against_go(&bench, go, &report));
    let ls = go.as_ref().zip(client.as_ref());
    let ls = ls.map(|(go, client)| list(&bench, go, client, &report));
    let ls_of_many = list_by_ourselves(&report);
    let figures = operations(&report);

    report.table("Budgets", &["what", "budget", "figure", "verdict"]);
    let at_most_go = "at most the Go plugin's";
    let no_go = "Go is not installed";
    match &against_go {
        Some(figures) => {
            let mut judge = |what, ratio: f64, limit, budget| {
                report.judge(what, budget, ratio, limit, &format!("{ratio:.2} times"));
            };
            judge("exec to address line", figures.start, 1.0, at_most_go);
            let session = "a session that needs no API call";
            judge(session, figures.session, 1.0, at_most_go);
            let budget = "at most 3 times the Go plugin's";
            judge(
                "peak memory of a plugin process",
                figures.memory,
                3.0,
                budget,
            );
        }
        None => report.skip("the plugin as a process", at_most_go, no_go),
    }
    let (what, budget) = (
        "`ls` of 100, true state",
        "at most the Go plugin's and the API's",
    );
    match ls {
        Some(ratio) => report.judge(what, budget, ratio, 1.0, &format!("{ratio:.2} times")),
        None => report.skip(what, budget, no_go),
    }
    let beside = ls_of_many.beside.as_secs_f64();
    report.judge(
        "`btcloud-host ls` of 1,000, beside the API's time",
        "under 100 ms",
        beside,
        0.1,
        &shown(ls_of_many.beside),
    );
    report.judge(
        "… calls of the API",
        "at most 3",
        ls_of_many.calls as f64,
        3.0,
        &ls_of_many.calls.to_string(),
    );
    let share = figures.sandbox.as_secs_f64();
    report.judge(
        "sandbox's share of an operation",
        "under 2 ms",
        share,
        2e-3,
        &shown(figures.sandbox),
    );
    let part = share / figures.create.as_secs_f64();
    report.judge(
        "sandbox's share of `create` at zero latency",
        "under 5 %",
        part,
        0.05,
        &format!("{:.1} %", part * 100.0),
    );
    report.judge(
        "first use of a component",
        "under 500 ms",
        figures.first_use.as_secs_f64(),
        0.5,
        &shown(figures.first_use),
    );
    let cloudstack = std::fs::metadata(acceptance::CLOUDSTACK).expect("the component");
    let components = [
        ("btcloud.wasm", btcloud_host::builtin::COMPONENT.len()),
        (
            "cloudstack.wasm",
            usize::try_from(cloudstack.len()).unwrap_or(usize::MAX),
        ),
    ];
    for (name, size) in components {
        let what = format!("size of {name}");
        let limit = f64::from(COMPONENT_SIZE);
        let size = size as f64;
        report.judge(
            &what,
            "under 400 KB",
            size,
            limit,
            &format!("{:.0} KB", size / 1e3),
        );
    }
    for name in ["docker-machine-driver-btcloud", "btcloud-host"] {
        let size = plugins::size(&acceptance::program(name)) as f64;
        let shown = format!("{:.1} MB", size / 1e6);
        let what = format!("size of {name}");
        report.judge(&what, "under 20 MB", size, f64::from(PROGRAM_SIZE), &shown);
    }
    if report.is_good() {
        println!("\nAll budgets that were measured are met.");
        ExitCode::SUCCESS
    } else {
        println!("\nNot all budgets are met.");
        ExitCode::FAILURE
    }
}

/// What of a plugin as a process is judged, in times of the Go plugin's.
struct AgainstGo {
    start: f64,
    session: f64,
    memory: f64,
}

fn against_go(bench: &Bench, go: &Plugin, report: &Report) -> AgainstGo {
    let columns = ["plugin as a process", "ours", "in Go", "ratio"];
    report.table("Against a plugin in Go", &columns);
    let row = |what: &str, pair: Pair| {
        let ratio = format!("{:.2}", pair.ratio);
        report.row(&[&what, &pair.ours, &pair.other, &ratio]);
        pair.ratio
    };
    let session = |question| {
        Pair::of(
            60,
            || bench.session(&bench.ours, question),
            || bench.session(go, question),
        )
    };
    let start = Pair::of(100, || bench.start(&bench.ours), || bench.start(go));
    let start = row("exec to address line", start);
    let saved = row("session, answered from what is saved", session(SAVED));
    row("session, with the true state", session(ASKED));
    let memory = |question| {
        let ours = median(|| bench.memory(&bench.ours, question));
        let other = median(|| bench.memory(go, question));
        let ratio = ours as f64 / other as f64;
        let what = format!("peak memory after {question}");
        let shown = format!("{ratio:.2}");
        report.row(&[&what, &mib(ours), &mib(other), &shown]);
        ratio
    };
    memory(SAVED);
    let memory = memory(ASKED);
    let mb = |plugin: &Plugin| format!("{:.1} MB", plugins::size(&plugin.program) as f64 / 1e6);
    let (ours, other) = (mb(&bench.ours), mb(go));
    report.row(&[&"size of the program", &ours, &other, &""]);
    AgainstGo {
        start,
        session: saved,
        memory,
    }
}

/// A size in bytes, shown in MiB.
fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn median(mut measure: impl FnMut() -> u64) -> u64 {
    let mut figures: Vec<_> = (0..5).map(|_| measure()).collect();
    figures.sort_unstable();
    figures[figures.len() / 2]
}

/// `ls` by the genuine client. Tells how many times as long as with the Go plugin it takes for 100 machines.
fn list(bench: &Bench, go: &Plugin, client: &std::path::Path, report: &Report) -> f64 {
    let columns = ["`docker-machine ls`", "ours", "in Go", "ratio"];
    report.table("Through the genuine client", &columns);
    let list = |what: &str, machines, rounds| {
        let stores = [&bench.ours, go].map(|plugin| (plugin, bench.store(plugin, machines)));
        let list = |(plugin, store): &(&Plugin, PathBuf)| bench.ls(client, plugin, store);
        let pair = Pair::of(rounds, || list(&stores[0]), || list(&stores[1]));
        let shown = format!("{:.2}", pair.ratio);
        report.row(&[&what, &pair.ours, &pair.other, &shown]);
        pair.ratio
    };
    list("1 machine", 1, 30);
    list("20 machines", 20, 15);
    let ratio = list("100 machines", 100, 7);
    let cloud = &bench.lab.cloud;
    cloud.fault("listVirtualMachines", u32::MAX, Fault::Delay(API_LATENCY));
    list("20 machines, the API takes 100 ms", 20, 9);
    cloud.clear_faults();
    ratio
}

/// What of the own command to list machines is judged.
struct LsOfMany {
    /// What it takes more than the calls of the API do.
    beside: Duration,
    calls: usize,
}

/// `btcloud-host ls`, against the same calls of the API alone. Tells what is judged of 1,000 machines.
fn list_by_ourselves(report: &Report) -> LsOfMany {
    let columns = ["`btcloud-host ls`", "in all", "the API alone", "calls"];
    report.table("By itself", &columns);
    let list = |machines, rounds| {
        let lab = Lab::spacious();
        lab.create_many(machines);
        let calls = plugins::calls_of(&lab, || plugins::ls_by_ourselves(&lab, machines));
        let pair = Pair::of(
            rounds,
            || plugins::ls_by_ourselves(&lab, machines),
            || plugins::call_all(&lab, &calls),
        );
        let what = format!("{machines} in the account");
        report.row(&[&what, &pair.ours, &pair.other, &calls.len()]);
        LsOfMany {
            beside: pair.excess,
            calls: calls.len(),
        }
    };
    list(1, 30);
    list(100, 20);
    list(1_000, 10)
}

/// What of operations is judged.
struct Figures {
    sandbox: Duration,
    create: Duration,
    first_use: Duration,
}

fn operations(report: &Report) -> Figures {
    let columns = ["operation in one process", "sandboxed", "native", "ratio"];
    report.table("Against the same logic as native code", &columns);
    let directory = tempfile::tempdir().expect("a directory");
    // An isolated network has room for 250 machines.
    let lab = plugins::lab();
    let operations = Operations::of(&lab.cloud, directory.path());
    let create = |pauses, rounds| {
        Pair::of(
            rounds,
            || operations.create(Form::Sandboxed, pauses),
            || operations.create(Form::Native, pauses),
        )
    };
    let row = |what: &str, pair: &Pair| {
        let ratio = format!("{:.3}", pair.ratio);
        report.row(&[&what, &pair.ours, &pair.other, &ratio]);
    };
    let skipped = create(Pauses::Skipped, 60);
    row("`create`, processor time with the cloud's", &skipped);
    let real = create(Pauses::Real, 10);
    row("`create`", &real);
    let at_once = [Form::Sandboxed, Form::Native].map(at_once_elsewhere);
    let [(our_time, our_memory), (time, memory)] = &at_once;
    report.row(&[&"100 creates at once", our_time, time, &""]);
    report.row(&[&"… peak memory of the process", our_memory, memory, &""]);

    report.table("Parts, processor time", &["part", "time"]);
    let part = |what: &str, sample: Sample| {
        report.row(&[&what, &sample]);
        sample.median()
    };
    let (first_use, waited) = operation::first_use();
    part("first use: compile, link", first_use);
    let first_use = part("… what a user waits for it", waited);
    let later_use = part(
        "later use: load compiled code, link",
        operation::later_use(),
    );
    let describe = part("instantiate, `describe`", operation::describe());
    part("a call of the host", operation::host_call());
    part("signing a request", operation::signing());
    let (encode, decode) = operation::gob();
    part("40 flags to gob", encode);
    part("40 flags from gob", decode);

    Figures {
        sandbox: later_use + describe + skipped.excess,
        create: real.other.median(),
        first_use,
    }
}

/// Makes machines at once in a process of its own; tells the time and the peak of its memory.
fn at_once_elsewhere(form: Form) -> (String, String) {
    let this = std::env::current_exe().expect("this program");
    let lab = plugins::lab();
    let mut command = lab.command(this);
    let output = command
        .env(FORM, format!("{form:?}"))
        .output()
        .expect("this program");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:.1000}", stderr);
    let told = String::from_utf8_lossy(&output.stdout);
    let (time, memory) = told.trim_end().split_once('\t').expect("two figures");
    (time.to_owned(), memory.to_owned())
}

fn make_at_once(form: &str) {
    let form = match form {
        "Sandboxed" => Form::Sandboxed,
        _ => Form::Native,
    };
    let [url, api_key, secret_key] = ["ENDPOINT", "API_KEY", "SECRET_KEY"]
        .map(|name| std::env::var(format!("BTCLOUD_{name}")).expect("an account"));
    let directory = tempfile::tempdir().expect("a directory");
    let operations = Operations::new(&url, &api_key, &secret_key, directory.path());
    let taken = operations.create_at_once(AT_ONCE, form);
    let memory = acceptance::peak_memory(std::process::id()).expect("this process");
    println!("{}\t{}", shown(taken), mib(memory));
}
