//! Whether a file is as its package brought it: by the digests that dpkg has of configuration files and of all others,
//! and by those of ucf, which looks after configuration files for scripts.

use chom_format::HostPath;
use md5::{Digest as _, Md5};

use super::{INFO, Status, same_place};
use crate::sys::{Kind, Sys, SysError, named, text_at, text_of};

const UCF: &str = "/var/lib/ucf/hashfile";
const SUMS: &str = ".md5sums";

/// Whether the content of a file is what a package brought there. A file that no package knows is nobody's.
pub fn is_as_brought(sys: &dyn Sys, path: &HostPath) -> Result<bool, SysError> {
    let Some(digest) = digest(sys, path)? else { return Ok(false) };
    let status = text_at(sys, Status::PATH)?;
    if conffiles(&status, path.as_str())
        .chain(of_ucf(&text_at(sys, UCF)?, path.as_str()))
        .any(|known| known == digest)
    {
        return Ok(true);
    }
    let info = named(INFO)?;
    for name in sys.list(&info)?.iter().filter(|name| name.ends_with(SUMS)) {
        let text = text_of(sys, &named(&format!("{INFO}/{name}"))?)?.unwrap_or_default();
        if of_package(&text, path.as_str()).any(|known| known == digest) {
            return Ok(true);
        }
    }
    Ok(false)
}

// ` /etc/nginx/sites-available/default 5f1e...`, with `obsolete` behind it when a newer package no longer brings it.
fn conffiles<'a>(status: &'a str, path: &'a str) -> impl Iterator<Item = &'a str> {
    status.lines().filter_map(move |line| {
        line.strip_prefix(' ')?.strip_prefix(path)?.strip_prefix(' ')?.split(' ').next()
    })
}

// `5f1e...  /etc/x`
fn of_ucf<'a>(hashes: &'a str, path: &'a str) -> impl Iterator<Item = &'a str> {
    hashes
        .lines()
        .filter_map(move |line| line.split_once("  ").filter(|(_, known)| *known == path).map(|(sum, _)| sum))
}

// `5f1e...  usr/share/x`
fn of_package<'a>(sums: &'a str, path: &'a str) -> impl Iterator<Item = &'a str> {
    let known = move |listed: &str| same_place(&format!("/{listed}"), path);
    sums.lines()
        .filter_map(move |line| line.split_once("  ").filter(|(_, listed)| known(listed)).map(|(sum, _)| sum))
}

// dpkg and ucf know no other. It tells who brought a file, and protects nothing.
fn digest(sys: &dyn Sys, path: &HostPath) -> Result<Option<String>, SysError> {
    if sys.meta(path)?.is_none_or(|meta| meta.kind != Kind::File) {
        return Ok(None);
    }
    let (mut file, mut hasher, mut buffer) = (sys.open(path)?, Md5::new(), vec![0; 64 << 10]);
    loop {
        let count = file.read(&mut buffer).map_err(SysError::io("read", path))?;
        let Some(bytes @ [_, ..]) = buffer.get(..count) else { break };
        hasher.update(bytes);
    }
    Ok(Some(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sys::RealSys;

    const OF_HELLO: &str = "5d41402abc4b2a76b9719d911017c592";

    #[test]
    fn a_file_is_as_brought_when_anything_that_dpkg_keeps_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in ["etc", "usr/lib", "var/lib/dpkg/info", "var/lib/ucf"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        for path in ["etc/conffile", "etc/edited", "etc/obsolete", "etc/ucf", "usr/lib/plain", "etc/nobodys"]
        {
            fs::write(at(path), if path == "etc/edited" { "hello, edited" } else { "hello" }).unwrap();
        }
        let status = format!(
            "Package: a\nConffiles:\n /etc/conffile {OF_HELLO}\n /etc/edited {OF_HELLO}\n /etc/obsolete {OF_HELLO} obsolete\n\
             Description: x\n"
        );
        fs::write(at("var/lib/dpkg/status"), status).unwrap();
        fs::write(at("var/lib/ucf/hashfile"), format!("{OF_HELLO}  /etc/ucf\n")).unwrap();
        fs::write(at("var/lib/dpkg/info/a.md5sums"), format!("{OF_HELLO}  lib/plain\n")).unwrap();
        let sys = RealSys::new(dir.path());
        for (path, wanted) in [
            ("/etc/conffile", true),
            ("/etc/obsolete", true),
            ("/etc/ucf", true),
            ("/usr/lib/plain", true),
            ("/etc/edited", false),
            ("/etc/nobodys", false),
            ("/etc/absent", false),
        ] {
            assert_eq!(is_as_brought(&sys, &path.parse().unwrap()).unwrap(), wanted, "{path}");
        }
    }
}
