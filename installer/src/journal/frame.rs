//! How records lie in the file.
//!
//! ```text
//! magic  length  sequence  digest        payload
//! 4      4       8         32            length bytes: JSON and a newline
//! ```
//! Integers are little-endian. The digest covers the digest of the frame before, length, sequence and
//! payload, so that a frame can be neither changed, nor left out, nor moved. The magic holds a byte
//! sequence that no UTF-8 text has: it cannot occur in a payload.

use chom_format::Digest;

use super::record::Record;

const MAGIC: [u8; 4] = [0xc4, b'c', b'h', b'j'];
const HEADER: usize = 4 + 4 + 8 + 32;

/// Where the next frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// Bytes of whole frames.
    pub length: u64,
    /// Sequence number of the next frame.
    pub sequence: u64,
    /// Digest of the last frame.
    pub digest: Digest,
}

impl Default for Tail {
    fn default() -> Self {
        Self { length: 0, sequence: 0, digest: Digest::of(b"chom journal") }
    }
}

/// What a journal's bytes hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The whole records.
    pub records: Vec<Record>,
    /// Where to go on.
    pub tail: Tail,
    /// Bytes of a torn frame after that.
    pub torn: u64,
}

/// Damage that no power cut explains, or a record that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// A frame that is followed by others does not hold what it held.
    #[error("record {sequence} at byte {offset} is damaged, and records follow it")]
    Damaged {
        /// Counted from 0.
        sequence: u64,
        /// From the start of the file.
        offset: u64,
    },
    /// A whole frame holds something else than a record of this version.
    #[error("record {sequence} at byte {offset} is not understood: {why}")]
    Unknown {
        /// Counted from 0.
        sequence: u64,
        /// From the start of the file.
        offset: u64,
        /// In the parser's words.
        why: String,
    },
}

/// The bytes of one record, to be written at the tail, and the tail after it.
pub fn encode(record: &Record, tail: &Tail) -> Result<(Vec<u8>, Tail), serde_json::Error> {
    let mut payload = serde_json::to_vec(record)?;
    payload.push(b'\n');
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let digest = chained(&tail.digest, length, tail.sequence, &payload);
    let mut frame = Vec::with_capacity(HEADER + payload.len());
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&tail.sequence.to_le_bytes());
    frame.extend_from_slice(digest.bytes());
    frame.extend_from_slice(&payload);
    let next = Tail { length: tail.length + frame.len() as u64, sequence: tail.sequence + 1, digest };
    Ok((frame, next))
}

/// Reads all that is whole.
pub fn decode(bytes: &[u8]) -> Result<Decoded, Corrupt> {
    let mut decoded = Decoded { records: Vec::new(), tail: Tail::default(), torn: 0 };
    let mut rest = bytes;
    while !rest.is_empty() {
        let (sequence, offset) = (decoded.tail.sequence, decoded.tail.length);
        let Some((frame, after)) = Frame::split(rest, &decoded.tail) else {
            if a_later_frame_follows(rest, sequence) {
                return Err(Corrupt::Damaged { sequence, offset });
            }
            decoded.torn = rest.len() as u64;
            break;
        };
        let record = serde_json::from_slice(frame.payload).map_err(|error| Corrupt::Unknown {
            sequence,
            offset,
            why: error.to_string(),
        })?;
        decoded.records.push(record);
        decoded.tail = Tail {
            length: offset + (HEADER + frame.payload.len()) as u64,
            sequence: sequence + 1,
            digest: frame.digest,
        };
        rest = after;
    }
    Ok(decoded)
}

/// Whether a frame that was written after this one begins anywhere behind its first byte. Appending cuts a
/// torn frame first, so that a torn frame is always the last.
fn a_later_frame_follows(bytes: &[u8], sequence: u64) -> bool {
    (1..bytes.len()).any(|at| {
        let rest = bytes.get(at..).unwrap_or_default();
        rest.starts_with(&MAGIC)
            && Header::parse(rest).is_some_and(|(header, body)| {
                header.sequence > sequence && body.get(..header.length as usize).is_some()
            })
    })
}

struct Frame<'a> {
    digest: Digest,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of these bytes, if it is whole and the one that belongs here.
    fn split(bytes: &'a [u8], tail: &Tail) -> Option<(Self, &'a [u8])> {
        let (header, body) = Header::parse(bytes)?;
        let (payload, after) = body.split_at_checked(header.length as usize)?;
        let digest = chained(&tail.digest, header.length, header.sequence, payload);
        let whole = header.sequence == tail.sequence && header.digest == digest;
        whole.then_some((Self { digest, payload }, after))
    }
}

struct Header {
    length: u32,
    sequence: u64,
    digest: Digest,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (length, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let header = Self {
            length: u32::from_le_bytes(*length),
            sequence: u64::from_le_bytes(*sequence),
            digest: Digest::from(*digest),
        };
        Some((header, rest))
    }
}

fn chained(before: &Digest, length: u32, sequence: u64, payload: &[u8]) -> Digest {
    let mut all = Vec::with_capacity(32 + 4 + 8 + payload.len());
    all.extend_from_slice(before.bytes());
    all.extend_from_slice(&length.to_le_bytes());
    all.extend_from_slice(&sequence.to_le_bytes());
    all.extend_from_slice(payload);
    Digest::of(&all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary::record;
    use super::super::record::Begin;
    use super::*;

    fn begin() -> Record {
        Record::Begin(Begin {
            format: 1,
            id: 7,
            bundle: "mentat-1-00000000".into(),
            manifest: Digest::of(b"manifest"),
            at: "2026-01-01T00:00:00Z".into(),
            boot_id: "boot".into(),
            by: "root".into(),
            backup: None,
            token: None,
            upon: None,
            adopts: false,
        })
    }

    /// The bytes of a journal, with the end of each frame.
    fn journal(records: &[Record]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends, mut tail) = (Vec::new(), vec![0], Tail::default());
        for record in records {
            let (frame, next) = encode(record, &tail).unwrap();
            bytes.extend(frame);
            ends.push(bytes.len());
            tail = next;
        }
        (bytes, ends)
    }

    proptest! {
        #[test]
        fn any_prefix_decodes_to_a_prefix(records in prop::collection::vec(record(), 0..6), cut in 0.0..=1.0f64) {
            let (bytes, ends) = journal(&records);
            let cut = (bytes.len() as f64 * cut) as usize;
            let decoded = decode(&bytes[..cut]).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            prop_assert_eq!(&decoded.records[..], &records[..whole]);
            prop_assert_eq!(decoded.tail.length as usize, ends[whole]);
            prop_assert_eq!(decoded.torn as usize, cut - ends[whole]);
        }

        #[test]
        fn any_changed_byte_before_the_last_record_is_found(
            records in prop::collection::vec(record(), 2..6),
            place in 0.0..1.0f64,
            flip in 1..=255u8,
        ) {
            let (mut bytes, ends) = journal(&records);
            let place = (ends[records.len() - 1] as f64 * place) as usize;
            bytes[place] ^= flip;
            let damaged = ends.iter().filter(|end| **end <= place).count() as u64 - 1;
            let found = decode(&bytes);
            let named = matches!(found, Err(Corrupt::Damaged { sequence, .. }) if sequence == damaged);
            prop_assert!(named, "{:?}", found);
        }

        #[test]
        fn a_changed_byte_in_the_last_record_never_gives_another_record(
            records in prop::collection::vec(record(), 1..4),
            place in 0.0..1.0f64,
            flip in 1..=255u8,
        ) {
            let (mut bytes, ends) = journal(&records);
            let last = ends[records.len() - 1];
            let place = last + ((bytes.len() - last) as f64 * place) as usize;
            bytes[place] ^= flip;
            let decoded = decode(&bytes).unwrap();
            prop_assert_eq!(&decoded.records[..], &records[..records.len() - 1]);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn appending_after_a_cut_goes_on_with_the_chain() {
        let (bytes, _) = journal(&[begin(), Record::Healthy]);
        let decoded = decode(&bytes[..bytes.len() - 1]).unwrap();
        let mut whole = bytes[..decoded.tail.length as usize].to_vec();
        whole.extend(encode(&Record::Committed { at: "now".into() }, &decoded.tail).unwrap().0);
        let again = decode(&whole).unwrap();
        assert_eq!(again.records, [begin(), Record::Committed { at: "now".into() }]);
        assert_eq!(again.torn, 0);
    }

    #[test]
    fn preallocated_zeros_are_a_torn_tail() {
        let (mut bytes, _) = journal(&[begin()]);
        bytes.extend([0; 4096]);
        assert_eq!(decode(&bytes).unwrap().torn, 4096);
    }

    #[test]
    fn a_frame_left_out_is_found() {
        let (bytes, ends) = journal(&[begin(), Record::Healthy, begin()]);
        let without = [&bytes[..ends[1]], &bytes[ends[2]..]].concat();
        // The frame that is there now has a later sequence than the one that belongs there.
        assert_eq!(decode(&without).unwrap().records, [begin()]);
        let more = [&without[..], &bytes[ends[2]..]].concat();
        assert!(matches!(decode(&more), Err(Corrupt::Damaged { sequence: 1, .. })));
    }

    #[test]
    fn a_record_of_a_newer_version_is_named() {
        let payload = b"{\"record\":\"teleported\"}\n";
        let digest = chained(&Tail::default().digest, payload.len() as u32, 0, payload);
        let mut bytes = MAGIC.to_vec();
        bytes.extend((payload.len() as u32).to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        bytes.extend(digest.bytes());
        bytes.extend(payload);
        let error = decode(&bytes).unwrap_err();
        assert!(error.to_string().contains("teleported"), "{error}");
    }
}
