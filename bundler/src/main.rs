//! The program: arguments in, exit code out. All else is in the library.

use std::process::ExitCode;

/// musl's own gives memory back to the kernel at once and asks for it again, and rendering asks often.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    chom_bundle::cli::main(std::env::args_os())
}
