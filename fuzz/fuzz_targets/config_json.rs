#![no_main]

libfuzzer_sys::fuzz_target!(init: properties::config::prepare(), |data: &[u8]| {
    properties::config::is_kept_apart(data);
});
