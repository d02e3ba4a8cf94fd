//! See `chom_tests::readers::journal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| chom_tests::readers::journal(bytes));
