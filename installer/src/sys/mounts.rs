//! Mount points, from `/proc/self/mountinfo`.

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Where.
    pub(crate) point: String,
    /// Read-only, for this mount or for its file system.
    pub(crate) read_only: bool,
    /// No program on it can be started.
    pub(crate) no_exec: bool,
    /// What is mounted: a device, or a name.
    pub(crate) source: String,
    /// `ext4`.
    pub(crate) file_system: String,
}

/// Those below a path, and the one at it.
pub(crate) fn at_or_below<'a>(mounts: &'a [Mount], path: &'a str) -> impl Iterator<Item = &'a Mount> {
    let within = move |point: &str| {
        point.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    mounts.iter().filter(move |mount| within(&mount.point))
}

/// The mounts that this thread sees, which may have left those of its process.
pub(crate) fn read() -> std::io::Result<Vec<Mount>> {
    super::proc::text("thread-self/mountinfo").map(|text| parse(&text))
}

/// All mounts, in the kernel's order: of two at one place the later one is seen.
pub(crate) fn parse(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(line).collect()
}

/// The mount that a path lies on: the deepest one above it.
pub(crate) fn of<'a>(mounts: &'a [Mount], path: &str) -> Option<&'a Mount> {
    let above = |mount: &&Mount| {
        mount.point == "/"
            || path == mount.point
            || path.strip_prefix(mount.point.as_str()).is_some_and(|rest| rest.starts_with('/'))
    };
    mounts.iter().filter(above).max_by_key(|mount| mount.point.len())
}

// `36 35 98:0 /root /mount/point rw,noatime shared:1 - ext4 /dev/sda rw,errors=continue`
fn line(line: &str) -> Option<Mount> {
    let (head, tail) = line.split_once(" - ")?;
    let fields: Vec<&str> = head.split(' ').collect();
    let is_ro = |options: &str| options.split(',').any(|option| option == "ro");
    let read_only = is_ro(fields.get(5)?) || tail.split(' ').nth(2).is_some_and(is_ro);
    let no_exec = fields.get(5)?.split(',').any(|option| option == "noexec");
    let mut tail = tail.split(' ');
    let (file_system, source) = (tail.next()?.to_owned(), unescape(tail.next()?));
    Some(Mount { point: unescape(fields.get(4)?), read_only, no_exec, source, file_system })
}

// Blanks and the like are written as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let code = (*byte == b'\\').then(|| std::str::from_utf8(tail.get(..3)?).ok()).flatten();
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(decoded) => {
                out.push(decoded);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "[ -~\\n]{0,200}", digits in "[0-9\\\\]{0,8}") {
            let _ = parse(&text);
            let _ = unescape(&digits);
        }
    }

    const INFO: &str = "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
        27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro\n\
        31 27 254:16 /etc /etc ro,relatime shared:2 master:1 - ext4 /dev/vdb rw\n\
        32 27 254:32 / /mnt/with\\040blank rw - vfat /dev/vdc ro,fmask=0022\n";

    #[test]
    fn the_deepest_mount_above_a_path() {
        let mounts = parse(INFO);
        assert_eq!(mounts.len(), 4);
        assert!(of(&mounts, "/etc/nginx").unwrap().read_only);
        assert!(of(&mounts, "/etc").unwrap().read_only);
        assert!(!of(&mounts, "/etcetera").unwrap().read_only);
        assert_eq!(
            of(&mounts, "/mnt/with blank/x").unwrap(),
            &Mount {
                point: "/mnt/with blank".into(),
                read_only: true,
                no_exec: false,
                source: "/dev/vdc".into(),
                file_system: "vfat".into(),
            }
        );
        assert_eq!(parse("nonsense\n"), []);
    }
}
