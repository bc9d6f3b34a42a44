#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    properties::http::exchanges(data);
});
