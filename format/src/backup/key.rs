//! How age writes a key as text: 32 bytes in Bech32 behind a prefix. All is checked by the crate but the prefix, the
//! length and what fills the last byte.

use std::fmt;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};

/// The key of a text with this prefix, all lower-case or all upper-case; none when it is no such text.
pub fn parse(prefix: &str, text: &str) -> Option<[u8; 32]> {
    let checked = CheckedHrpstring::new::<Bech32>(text).ok()?;
    // One text for one key: what is left over is less than a letter, and zero.
    checked.validate_segwit_padding().ok()?;
    let bytes: Vec<u8> = checked.byte_iter().collect();
    (checked.hrp() == Hrp::parse(prefix).ok()?).then_some(())?;
    bytes.try_into().ok()
}

/// Writes the lower-case text of a key.
pub(super) fn write(f: &mut fmt::Formatter<'_>, prefix: &str, key: &[u8; 32]) -> fmt::Result {
    let prefix = Hrp::parse(prefix).map_err(|_| fmt::Error)?;
    bech32::encode_lower_to_fmt::<Bech32, _>(f, prefix, key).map_err(|_| fmt::Error)
}

#[cfg(test)]
mod tests {
    use bech32::Fe32;
    use bech32::primitives::iter::{ByteIterExt as _, Fe32IterExt as _};
    use proptest::prelude::*;

    use super::*;

    const PREFIX: &str = "age-secret-key-";

    fn text(letters: impl Iterator<Item = Fe32>) -> String {
        letters.with_checksum::<Bech32>(&Hrp::parse(PREFIX).unwrap()).chars().collect()
    }

    fn letters(bytes: &[u8]) -> Vec<Fe32> {
        bytes.iter().copied().bytes_to_fes().collect()
    }

    #[test]
    fn a_key_has_one_text_and_its_length() {
        let right = letters(&[7; 32]);
        assert_eq!(parse(PREFIX, &text(right.iter().copied())), Some([7; 32]));
        assert_eq!(parse("age", &text(right.iter().copied())), None, "another prefix");
        // Their checksums are right.
        let mut rest = right.clone();
        *rest.last_mut().unwrap() = Fe32::try_from(rest.last().unwrap().to_u8() | 1).unwrap();
        assert_eq!(parse(PREFIX, &text(rest.into_iter())), None, "the rest is not zero");
        assert_eq!(parse(PREFIX, &text(right.into_iter().chain([Fe32::Q]))), None, "the rest is a letter");
        for length in [0, 31, 33] {
            assert_eq!(parse(PREFIX, &text(letters(&vec![7; length]).into_iter())), None, "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_a_typing_error_is_not(
            key in any::<[u8; 32]>(), at in any::<prop::sample::Index>(), to in 0_u8..32,
        ) {
            let text = text(letters(&key).into_iter());
            prop_assert_eq!(parse(PREFIX, &text), Some(key));
            prop_assert_eq!(parse(&PREFIX.to_uppercase(), &text.to_uppercase()), Some(key));
            let data = PREFIX.len() + 1;
            let at = data + at.index(text.len() - data);
            let mut typed = text.clone();
            typed.replace_range(at..=at, &Fe32::try_from(to).unwrap().to_char().to_string());
            prop_assert!(typed == text || parse(PREFIX, &typed).is_none());
            let mixed = format!("{}{}", text[..data].to_uppercase(), &text[data..]);
            prop_assert!(parse(PREFIX, &mixed).is_none());
        }
    }
}
