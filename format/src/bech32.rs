//! Bech32 (BIP 173) without its limit of 90 characters: how age writes keys.

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECKSUM: usize = 6;

/// The bytes of a text with this prefix, all lower-case or all upper-case; none when it is no such text.
pub fn decode(prefix: &str, text: &str) -> Option<Vec<u8>> {
    let mixed = text.chars().any(|c| c.is_ascii_lowercase()) && text.chars().any(|c| c.is_ascii_uppercase());
    let text = text.to_ascii_lowercase();
    let data = text.strip_prefix(&prefix.to_ascii_lowercase())?.strip_prefix('1')?;
    if mixed || data.len() < CHECKSUM {
        return None;
    }
    let value = |byte: u8| u8::try_from(ALPHABET.iter().position(|known| *known == byte)?).ok();
    let values: Vec<u8> = data.bytes().map(value).collect::<Option<_>>()?;
    if polymod(&[expanded(prefix), values.clone()].concat()) != 1 {
        return None;
    }
    let bits = values.get(..values.len() - CHECKSUM)?;
    let bytes = regroup(bits, 5, 8);
    let whole = bits.len() * 5 / 8;
    // What is left over is less than a byte, and zero.
    (bits.len() * 5 % 8 < 5 && bytes.iter().skip(whole).all(|rest| *rest == 0))
        .then(|| bytes.into_iter().take(whole).collect())
}

/// The lower-case text of these bytes.
pub fn encode(prefix: &str, bytes: &[u8]) -> String {
    let mut values = regroup(bytes, 8, 5);
    let zeros = vec![0; CHECKSUM];
    let sum = polymod(&[expanded(prefix), values.clone(), zeros].concat()) ^ 1;
    values.extend((0..CHECKSUM).map(|at| (sum >> (5 * (CHECKSUM - 1 - at)) & 31) as u8));
    let letter = |value: &u8| ALPHABET.get(usize::from(*value)).map(|byte| char::from(*byte));
    let data: String = values.iter().filter_map(letter).collect();
    format!("{}1{data}", prefix.to_ascii_lowercase())
}

fn expanded(prefix: &str) -> Vec<u8> {
    let prefix = prefix.to_ascii_lowercase();
    prefix.bytes().map(|byte| byte >> 5).chain([0]).chain(prefix.bytes().map(|byte| byte & 31)).collect()
}

// The rest is filled up with zeros.
fn regroup(values: &[u8], from: u32, to: u32) -> Vec<u8> {
    let (mut out, mut kept, mut bits) = (Vec::new(), 0_u32, 0);
    for value in values {
        kept = (kept << from | u32::from(*value)) & 0xfff;
        bits += from;
        while bits >= to {
            bits -= to;
            out.push((kept >> bits & ((1 << to) - 1)) as u8);
        }
    }
    if bits > 0 {
        out.push((kept << (to - bits) & ((1 << to) - 1)) as u8);
    }
    out
}

fn polymod(values: &[u8]) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    values.iter().fold(1, |sum, value| {
        let top = sum >> 25;
        let sum = (sum & 0x01ff_ffff) << 5 ^ u32::from(*value);
        GENERATOR.iter().enumerate().fold(
            sum,
            |sum, (at, generator)| {
                if top >> at & 1 == 1 { sum ^ generator } else { sum }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_texts_of_the_standard() {
        assert_eq!(decode("a", "A12UEL5L"), Some(Vec::new()));
        assert!(decode("abcdef", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw").is_some());
        for wrong in ["A12UEL5Lx", "a12UEL5L", "A1G7SGD8", "A12UEL5M", "10a06t8", ""] {
            assert_eq!(decode("a", wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_a_typing_error_is_not(
            bytes in prop::collection::vec(any::<u8>(), 0..40), at in any::<prop::sample::Index>(), to in 0_usize..32,
        ) {
            let text = encode("age-secret-key-", &bytes);
            prop_assert_eq!(decode("age-secret-key-", &text), Some(bytes.clone()));
            prop_assert_eq!(decode("AGE-SECRET-KEY-", &text.to_uppercase()), Some(bytes));
            let data = "age-secret-key-1".len();
            let at = data + at.index(text.len() - data);
            let mut typed = text.clone().into_bytes();
            typed[at] = ALPHABET[to];
            let typed = String::from_utf8(typed).unwrap();
            prop_assert!(typed == text || decode("age-secret-key-", &typed).is_none());
        }
    }
}
