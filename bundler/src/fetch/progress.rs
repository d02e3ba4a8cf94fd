//! What a fetch tells while it runs.

/// Hears of the progress of downloads, from several threads at once.
pub trait Progress: Sync {
    /// So much is to be fetched: objects, and their bytes as far as they are known.
    fn begin(&self, objects: usize, bytes: u64);
    /// A download starts; `size` in bytes when it is known.
    fn start(&self, name: &str, size: Option<u64>);
    /// The download has this many bytes now.
    fn at(&self, name: &str, bytes: u64);
    /// The download is complete and its digest is the right one.
    fn done(&self, name: &str);
    /// Something that a person may want to know: a retry, another mirror.
    fn note(&self, text: &str);
    /// Nothing more comes.
    fn end(&self);
}

/// Tells nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: usize, _: u64) {}
    fn start(&self, _: &str, _: Option<u64>) {}
    fn at(&self, _: &str, _: u64) {}
    fn done(&self, _: &str) {}
    fn note(&self, _: &str) {}
    fn end(&self) {}
}
