//! See `chom_tests::readers::lock`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| chom_tests::readers::lock(bytes));
