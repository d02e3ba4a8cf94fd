//! The options that say which bundle.

use std::path::PathBuf;

use clap::Args;

/// Which bundle.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct BundleArgs {
    /// The bundle: a folder, a tarball, or - for standard input [default: the folder of this program]
    #[arg(long, value_name = "PATH")]
    pub(super) bundle: Option<PathBuf>,
}
