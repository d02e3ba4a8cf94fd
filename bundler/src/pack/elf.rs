//! Reads an ELF header: for which processor a program is, and whether it needs anything of the host.
//!
//! `ldd` is not asked: it calls a program static that names an interpreter which the host does not have.

use chom_format::manifest::Arch;

const INTERP: u32 = 3;
const DYNAMIC: u32 = 2;
const NEEDED: u64 = 1;
const NULL: u64 = 0;

/// Why a program cannot be an installer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// Not a program at all.
    #[error("it is no 64-bit Linux program")]
    NotAProgram,
    /// Headers that lead nowhere.
    #[error("its ELF headers are damaged")]
    Damaged,
    /// Another processor.
    #[error("it is for {found}, and {wanted} is wanted")]
    Machine {
        /// What it is for.
        found: String,
        /// What is wanted.
        wanted: &'static str,
    },
    /// It asks for a dynamic loader.
    #[error("it is not static: it asks for the loader {0}")]
    Interpreter(String),
    /// It asks for a library.
    #[error("it is not static: it needs shared libraries")]
    Library,
}

/// Accepts a static program for this processor, and nothing else.
pub fn check(program: &[u8], wanted: Arch) -> Result<(), ElfError> {
    let little_endian_64 = program.get(..6) == Some(b"\x7fELF\x02\x01");
    // ET_EXEC or ET_DYN: a static program may be position independent.
    if !little_endian_64 || !matches!(u16_at(program, 16), Some(2 | 3)) {
        return Err(ElfError::NotAProgram);
    }
    let machine = u16_at(program, 18).ok_or(ElfError::Damaged)?;
    if machine != number(wanted) {
        let found = Arch::ALL.into_iter().find(|arch| number(*arch) == machine);
        let found =
            found.map_or_else(|| format!("processor number {machine}"), |arch| arch.name().to_owned());
        return Err(ElfError::Machine { found, wanted: wanted.name() });
    }
    for segment in segments(program).ok_or(ElfError::Damaged)? {
        let bytes = program.get(segment.offset..).and_then(|rest| rest.get(..segment.size));
        match segment.kind {
            INTERP => {
                let name = String::from_utf8_lossy(bytes.ok_or(ElfError::Damaged)?).into_owned();
                return Err(ElfError::Interpreter(name.trim_end_matches('\0').to_owned()));
            }
            DYNAMIC if needs_library(bytes.ok_or(ElfError::Damaged)?) => return Err(ElfError::Library),
            _ => {}
        }
    }
    Ok(())
}

struct Segment {
    kind: u32,
    offset: usize,
    size: usize,
}

fn segments(program: &[u8]) -> Option<Vec<Segment>> {
    let table = usize::try_from(u64_at(program, 32)?).ok()?;
    let (entry, count) = (usize::from(u16_at(program, 54)?), usize::from(u16_at(program, 56)?));
    (0..count)
        .map(|number| {
            let at = table.checked_add(number.checked_mul(entry)?)?;
            Some(Segment {
                kind: u32_at(program, at)?,
                offset: usize::try_from(u64_at(program, at.checked_add(8)?)?).ok()?,
                size: usize::try_from(u64_at(program, at.checked_add(32)?)?).ok()?,
            })
        })
        .collect()
}

fn needs_library(dynamic: &[u8]) -> bool {
    let tags = dynamic.chunks_exact(16).filter_map(|entry| u64_at(entry, 0));
    tags.take_while(|tag| *tag != NULL).any(|tag| tag == NEEDED)
}

fn number(arch: Arch) -> u16 {
    match arch {
        Arch::X86_64 => 62,
        Arch::Aarch64 => 183,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A program with these segments: kind, and content.
    pub(in crate::pack) fn program(machine: u16, segments: &[(u32, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[16..18].copy_from_slice(&3_u16.to_le_bytes());
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&(segments.len() as u16).to_le_bytes());
        let mut content = Vec::new();
        for (kind, bytes_of) in segments {
            let offset = (64 + 56 * segments.len() + content.len()) as u64;
            let mut header = vec![0; 56];
            header[..4].copy_from_slice(&kind.to_le_bytes());
            header[8..16].copy_from_slice(&offset.to_le_bytes());
            header[32..40].copy_from_slice(&(bytes_of.len() as u64).to_le_bytes());
            bytes.extend(header);
            content.extend_from_slice(bytes_of);
        }
        bytes.extend(content);
        bytes
    }

    #[test]
    fn static_programs_of_the_right_processor_pass() {
        assert_eq!(check(&program(62, &[(1, b"code")]), Arch::X86_64), Ok(()));
        assert_eq!(check(&program(183, &[]), Arch::Aarch64), Ok(()));
        let position_independent = [[6_u64, 1], [0, 0], [1, 9]].concat();
        let dynamic: Vec<u8> = position_independent.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(
            check(&program(62, &[(DYNAMIC, &dynamic)]), Arch::X86_64),
            Ok(()),
            "what is behind the end"
        );
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        let wrong = check(&program(62, &[]), Arch::Aarch64);
        assert_eq!(wrong, Err(ElfError::Machine { found: "x86_64".into(), wanted: "aarch64" }));
        let loader = check(&program(62, &[(INTERP, b"/lib/ld-musl-x86_64.so.1\0")]), Arch::X86_64);
        assert_eq!(loader, Err(ElfError::Interpreter("/lib/ld-musl-x86_64.so.1".into())));
        let needed: Vec<u8> = [NEEDED, 5].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(check(&program(62, &[(DYNAMIC, &needed)]), Arch::X86_64), Err(ElfError::Library));
        for text in [&b""[..], b"#!/bin/sh\n", b"\x7fELF\x01\x01aaaaaaaaaaaaaaaaaaaa"] {
            assert_eq!(check(text, Arch::X86_64), Err(ElfError::NotAProgram));
        }
        let whole = program(62, &[(1, b"code")]);
        assert_eq!(check(&whole[..70], Arch::X86_64), Err(ElfError::Damaged));
    }

    #[test]
    fn this_very_test_program_is_dynamic() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let arch = if cfg!(target_arch = "x86_64") { Arch::X86_64 } else { Arch::Aarch64 };
        if cfg!(target_env = "gnu") {
            assert!(matches!(check(&own, arch), Err(ElfError::Interpreter(_))));
        } else {
            assert_eq!(check(&own, arch), Ok(()));
        }
    }
}
