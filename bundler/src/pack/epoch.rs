//! `SOURCE_DATE_EPOCH`, the one time that may enter a bundle.

use chom_format::archive::write::{DEFAULT_MTIME, LARGEST_MTIME};
use chom_format::exit::Explain;
use chom_format::{Exit, HostState};

/// A value that is no time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("SOURCE_DATE_EPOCH is `{0}`, which is no count of seconds since 1970")]
pub struct EpochError(String);

impl Explain for EpochError {
    fn exit(&self) -> Exit {
        Exit::BadInput
    }

    fn hint(&self) -> Option<String> {
        Some("unset it, or set it to whole seconds, as `date +%s` prints them".to_owned())
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

/// The time of every entry: what the variable says, or a fixed one when it is not set.
pub fn mtime(variable: Option<&str>) -> Result<u64, EpochError> {
    let Some(text) = variable else { return Ok(DEFAULT_MTIME) };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(seconds) if digits && seconds <= LARGEST_MTIME => Ok(seconds),
        _ => Err(EpochError(text.chars().take(80).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_seconds_are_taken() {
        assert_eq!(mtime(None), Ok(DEFAULT_MTIME));
        assert_eq!(mtime(Some("0")), Ok(0));
        assert_eq!(mtime(Some("1700000000")), Ok(1_700_000_000));
        for text in ["", "-1", "+1", "1.5", "now", " 1", "8589934592", "99999999999999999999"] {
            assert!(mtime(Some(text)).is_err(), "{text:?}");
        }
    }
}
