//! `policy-rc.d`: the door through which Debian's maintainer scripts ask before they start a service.

use chom_format::{HostPath, Mode};

use super::super::StepError;
use super::super::place::fresh;
use crate::sys::{Attrs, Effect, PathState, Source, Sys, SysError, bytes_of, look, named};

const PATH: &str = "/usr/sbin/policy-rc.d";
// 101: action forbidden by policy.
const DENY: &[u8] = b"#!/bin/sh\nexit 101\n";

/// Where it lies.
pub(super) fn path() -> Result<HostPath, SysError> {
    named(PATH)
}

/// What was at the place of the policy.
pub(super) enum Before {
    Nothing,
    File(Vec<u8>, Attrs),
    Link(String, Attrs),
}

/// No service starts from now on.
pub(super) fn deny(sys: &mut dyn Sys) -> Result<Before, StepError> {
    let path = path()?;
    let before = match look(sys, &path)? {
        PathState::Absent => Before::Nothing,
        PathState::File { attrs, .. } => Before::File(bytes_of(sys, &path)?.unwrap_or_default(), attrs),
        PathState::Link { target, attrs } => Before::Link(target, attrs),
        PathState::Dir { .. } | PathState::Special { .. } => {
            let what = format!("{PATH} is neither a file nor a link");
            return Err(StepError::Refused { what, hint: None });
        }
    };
    let attrs = fresh(Mode::from_bits(0o755), (0, 0));
    sys.effect(&Effect::Write { path: &path, source: Source::Bytes(DENY), attrs: &attrs })?;
    Ok(before)
}

/// The host's own policy rules again.
pub(super) fn put_back(sys: &mut dyn Sys, before: Before) -> Result<(), StepError> {
    let path = path()?;
    match before {
        Before::Nothing => sys.effect(&Effect::Remove { path: &path })?,
        Before::File(bytes, attrs) => {
            sys.effect(&Effect::Write { path: &path, source: Source::Bytes(&bytes), attrs: &attrs })?
        }
        Before::Link(target, attrs) => {
            sys.effect(&Effect::MakeLink { path: &path, target: &target, attrs: Some(&attrs) })?
        }
    };
    Ok(())
}
