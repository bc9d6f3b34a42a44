//! What fuzzing found worth keeping, and the captured exchanges, as they are and changed in random places.

use std::fs;
use std::path::Path;

/// The number of changed inputs, unless `TEST_CASES` says another one.
const CASES: usize = 1_000;
/// What they are changed by, unless `TEST_SEED` says something else. The same in each run, so that no change fails by bad luck;
/// what other ones find is the fuzzing's business.
const SEED: u64 = 20;

/// The files of a directory, of which there are at least so many.
fn files(directory: &str, least: usize) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = fs::read_dir(&directory).unwrap();
    let files: Vec<_> = entries
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(files.len() >= least, "{} files", files.len());
    files
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    files(&format!("../../fuzz/corpus/{target}"), 100)
}

fn captured() -> Vec<Vec<u8>> {
    files("../../netrpc/tests/vectors", 10)
}

/// Changes an input in a few random places.
fn garble(random: &mut fastrand::Rng, input: &mut Vec<u8>) {
    for _ in 0..random.usize(1..5) {
        if input.is_empty() {
            return;
        }
        let place = random.usize(..input.len());
        match random.u8(..5) {
            0 => input[place] = random.u8(..),
            1 => input[place] ^= 1 << random.u8(..8),
            2 => drop(input.drain(place..input.len().min(place + random.usize(1..9)))),
            3 => {
                let from = random.usize(..input.len());
                let piece = input[from..input.len().min(from + 40)].to_vec();
                drop(input.splice(place..place, piece));
            }
            _ => input.insert(place, [0x00, 0x01, 0x7f, 0xf8, 0xff][random.usize(..5)]),
        }
    }
}

/// Looks whether a property holds for inputs, and then for changed ones. What it tells of an input is how much of it was
/// understood: of what is changed something has to be, or the changes show nothing.
fn holds(inputs: &[Vec<u8>], property: impl Fn(&[u8]) -> usize) {
    let whole: usize = inputs.iter().map(|input| property(input)).sum();
    assert!(whole > 0, "no input is understood");
    let number = |name| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let cases = number("TEST_CASES").map_or(CASES, |cases: u64| cases.try_into().unwrap());
    let mut random = fastrand::Rng::with_seed(number("TEST_SEED").unwrap_or(SEED));
    let mut understood = 0;
    for _ in 0..cases {
        let mut input = inputs[random.usize(..inputs.len())].clone();
        garble(&mut random, &mut input);
        understood += property(&input);
    }
    assert!(
        understood > cases / 100,
        "{cases} cases, {understood} understood"
    );
}

#[test]
fn a_garbled_stream_is_no_danger() {
    let mut inputs = corpus("gob_decode");
    inputs.extend(captured());
    holds(&inputs, properties::gob::decodes);
}

#[test]
fn a_garbled_conversation_is_answered_properly() {
    let mut inputs = corpus("rpc_server");
    inputs.extend(captured());
    holds(&inputs, properties::rpc::answers);
}

#[test]
fn a_garbled_configuration_is_kept_without_its_secrets() {
    properties::config::prepare();
    holds(&corpus("config_json"), properties::config::is_kept_apart);
}

#[test]
fn a_garbled_response_is_an_answer_or_a_failure() {
    holds(&corpus("http_response"), |input| {
        properties::http::exchanges(input).into()
    });
}

#[test]
fn a_garbled_cloud_is_no_danger() {
    holds(&corpus("cloudstack_answer"), |input| {
        properties::cloudstack::operates(input).into()
    });
}
