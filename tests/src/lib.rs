//! The harness of the suites in `tests/suites`.
