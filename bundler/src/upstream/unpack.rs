//! Members of an upstream archive.

use std::collections::BTreeSet;
use std::io::{BufReader, Read as _};

use chom_format::{Digest, Exit, HostState, exit::Explain};
use flate2::read::MultiGzDecoder;

use crate::cache::Cache;
use crate::fetch::file_name;
use crate::unpack::{
    Collected, Limits, Members, UnpackError, Want, collect, remember, remembered, walk_tar, walk_zip,
};

/// Why an upstream archive gave no members.
#[derive(Debug, thiserror::Error)]
#[error("{archive}: {source}")]
pub struct UpstreamError {
    archive: String,
    source: UnpackError,
}

impl Explain for UpstreamError {
    fn exit(&self) -> Exit {
        match self.source {
            UnpackError::Cache(_) => Exit::Failed,
            _ => Exit::BadInput,
        }
    }

    fn hint(&self) -> Option<String> {
        match &self.source {
            UnpackError::Cache(error) => error.hint(),
            UnpackError::Missing { .. } | UnpackError::BadMember(_) => {
                Some("mend `payload.upstream.members` of the component".to_owned())
            }
            UnpackError::Format(_) => {
                Some("a component's upstream archive is a .tar.gz or a .zip".to_owned())
            }
            _ => Some("do not use this archive before you know why it is so".to_owned()),
        }
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

/// Takes members out of the archive that was fetched from `url` and has this digest.
///
/// A wanted member is a path in the archive; with a trailing `/` it is all files below that folder. The answer
/// holds each file by its path in the archive. What was taken out before is not unpacked again.
pub fn members(
    cache: &Cache,
    archive: &Digest,
    url: &str,
    wanted: &[String],
) -> Result<Members, UpstreamError> {
    let name = file_name(url);
    // The name says how the archive is to be read.
    let key = Digest::of(format!("{archive} {name}\n\n{}", wanted.join("\n")).as_bytes());
    if let Some(known) = remembered(cache, &key) {
        return Ok(known);
    }
    let taken = take(cache, archive, name, wanted).and_then(Collected::whole);
    let members = taken.map_err(|source| UpstreamError { archive: name.to_owned(), source })?;
    remember(cache, &key, &members);
    Ok(members)
}

fn take(cache: &Cache, archive: &Digest, name: &str, wanted: &[String]) -> Result<Collected, UnpackError> {
    let wants: BTreeSet<Want> = wanted.iter().map(|text| Want::parse(text)).collect::<Result<_, _>>()?;
    let limits = Limits::default();
    let open = || Ok::<_, UnpackError>(BufReader::with_capacity(128 << 10, cache.read(archive)?));
    if name.ends_with(".zip") {
        return collect(cache, &wants, limits, |visitor| walk_zip(open()?, visitor));
    }
    if name.ends_with(".tar") {
        return collect(cache, &wants, limits, |visitor| walk_tar(open()?, visitor));
    }
    if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
        // Unpacked bytes that nobody asked for are bounded too, or a small file could keep a machine busy for days.
        let bound = limits.bytes;
        return collect(cache, &wants, limits, |visitor| {
            let mut reader = MultiGzDecoder::new(open()?).take(bound);
            walk_tar(&mut reader, visitor)?;
            if reader.limit() == 0 {
                return Err(UnpackError::TooMuch { what: "bytes", limit: bound });
            }
            Ok(())
        });
    }
    Err(UnpackError::Format(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        (dir, cache)
    }

    fn names(members: &Members) -> Vec<(&str, u64, bool)> {
        members.iter().map(|(path, member)| (path.as_str(), member.size, member.executable)).collect()
    }

    #[test]
    fn a_zip() {
        let (_dir, cache) = cache();
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file("p-linux-amd64", options.unix_permissions(0o755)).unwrap();
        zip.write_all(b"program").unwrap();
        zip.start_file("LICENSE", options).unwrap();
        let archive = cache.insert(&zip.finish().unwrap().into_inner()).unwrap();
        let url = "https://site.example/p/p-linux-amd64.zip";
        let members = members(&cache, &archive, url, &["p-linux-amd64".to_owned()]).unwrap();
        assert_eq!(names(&members), [("p-linux-amd64", 7, true)]);
    }

    #[test]
    fn a_tar_gz_in_two_gzip_members() {
        let (_dir, cache) = cache();
        let mut builder = tar::Builder::new(Vec::new());
        for (name, mode) in [("g-1/bin/g", 0o755), ("g-1/public/a.js", 0o644)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(3);
            header.set_mode(mode);
            builder.append_data(&mut header, name, &b"abc"[..]).unwrap();
        }
        let tar = builder.into_inner().unwrap();
        let (one, other) = tar.split_at(700);
        let mut bytes = Vec::new();
        for part in [one, other] {
            let mut gz = flate2::write::GzEncoder::new(&mut bytes, flate2::Compression::fast());
            gz.write_all(part).unwrap();
            gz.finish().unwrap();
        }
        let archive = cache.insert(&bytes).unwrap();
        let url = "https://site.example/g-1.linux-amd64.tar.gz";
        let all = members(&cache, &archive, url, &["g-1/".to_owned()]).unwrap();
        assert_eq!(names(&all), [("g-1/bin/g", 3, true), ("g-1/public/a.js", 3, false)]);

        let half = cache.insert(&bytes[..bytes.len() - 20]).unwrap();
        assert!(members(&cache, &half, url, &["g-1/".to_owned()]).is_err());
        let error = members(&cache, &archive, "https://site.example/g.rpm", &[]).unwrap_err();
        assert!(error.to_string().contains("g.rpm"), "{error}");
    }
}
