//! Room on each file system that will be written: for what comes, and for what a rollback needs kept.

use super::Finding;
use crate::plan::Room;

const CHECK: &str = "space";
// For journal, log, and what services write in their first minutes.
const RESERVE: u64 = 64 << 20;
const RESERVE_INODES: u64 = 1000;

pub(super) fn check(rooms: &[Room]) -> Finding {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let mut short = Vec::new();
    for room in rooms.iter().filter(|room| !room.read_only) {
        let Room { path, writes, rollback, inodes, free_bytes, free_inodes, .. } = room;
        let (bytes, inodes) = (writes + rollback + RESERVE, inodes + RESERVE_INODES);
        if *free_bytes < bytes {
            short.push(format!("{path}: {} MiB are needed, {} MiB are free", mib(bytes), free_bytes >> 20));
        }
        if *free_inodes < inodes {
            short.push(format!("{path}: {inodes} inodes are needed, {free_inodes} are free"));
        }
    }
    if short.is_empty() {
        let total: u64 = rooms.iter().map(|room| room.writes + room.rollback).sum();
        return Finding::pass(CHECK, format!("{} MiB are written, the way back among them", mib(total)));
    }
    let remedy = "make room: apt-get clean; journalctl --vacuum-size=100M; du -xh / | sort -h | tail";
    Finding::fail(CHECK, short.join("\n"), remedy)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn room(writes: u64, inodes: u64, free_bytes: u64, free_inodes: u64) -> Room {
        let path = "/opt".parse().unwrap();
        Room { path, writes, rollback: 1 << 20, inodes, free_bytes, free_inodes, read_only: false }
    }

    #[test]
    fn bytes_and_inodes_are_counted_with_a_reserve() {
        assert_eq!(check(&[room(100 << 20, 10, 200 << 20, 2000)]).level, Level::Pass);
        assert_eq!(check(&[room(100 << 20, 10, 150 << 20, 2000)]).level, Level::Fail);
        let finding = check(&[room(235 << 20, 30, 200 << 20, 20)]);
        assert_eq!(
            finding.reason,
            "/opt: 300 MiB are needed, 200 MiB are free\n/opt: 1030 inodes are needed, 20 are free"
        );
        assert_eq!(check(&[room(1, 30, 1 << 30, u64::MAX)]).level, Level::Pass);
        assert_eq!(check(&[]).level, Level::Pass);
    }
}
