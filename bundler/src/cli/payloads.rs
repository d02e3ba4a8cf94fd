//! Options of the commands that fetch payloads, and how they tell of their progress.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Ctx, Error};
use crate::cache::Cache;
use crate::fetch::{Bars, FetchOptions, Plain, Progress};
use crate::lock::LOCK_FILE;
use crate::ui::Printer;

/// Where payloads are kept, and how patiently they are fetched.
#[derive(Debug, Clone, Args)]
pub struct Payloads {
    /// Keep everything that is fetched here
    #[arg(long, value_name = "DIR", env = "CHOM_CACHE")]
    pub cache: Option<PathBuf>,
    /// Use nothing but the cache
    #[arg(long)]
    pub offline: bool,
    /// Downloads at the same time
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub jobs: u8,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub deadline: u64,
}

impl Payloads {
    /// The cache.
    pub fn open(&self) -> Result<Cache, Error> {
        Ok(Cache::open(self.cache.clone().unwrap_or_else(Cache::default_dir))?)
    }

    /// The numbers that bound a fetch.
    pub fn options(&self) -> FetchOptions {
        FetchOptions {
            jobs: usize::from(self.jobs),
            deadline: Duration::from_secs(self.deadline),
            offline: self.offline,
            ..FetchOptions::default()
        }
    }
}

/// Bars where somebody watches, lines otherwise.
pub fn progress(printer: &Printer) -> Box<dyn Progress + '_> {
    if printer.interactive() { Box::new(Bars::new()) } else { Box::new(Plain::new(printer)) }
}

/// The lock of the inventory: the file beside it.
pub fn lock_path(ctx: &Ctx) -> PathBuf {
    ctx.globals.inventory.with_file_name(LOCK_FILE)
}
