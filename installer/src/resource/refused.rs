//! A resource that this version cannot put back is refused before anything is done to it.

use serde_json::Value;

use super::{Fingerprint, Resource, Restore, Restored, Saved, Store};
use crate::sys::{Sys, SysError};

pub(super) struct RefusedResource<'a> {
    pub(super) resource: &'a Resource,
}

impl RefusedResource<'_> {
    fn refusal(&self) -> SysError {
        SysError::other("save", self.resource, "this version cannot put it back")
    }
}

impl Restore for RefusedResource<'_> {
    fn save(&self, _: &mut dyn Sys, _: &Store) -> Result<Saved, SysError> {
        Err(self.refusal())
    }

    fn fingerprint(&self, _: &dyn Sys) -> Result<Fingerprint, SysError> {
        Err(self.refusal())
    }

    fn after(&self, _: &mut dyn Sys, _: &Store, _: &Saved) -> Result<Value, SysError> {
        Err(self.refusal())
    }

    fn restore(
        &self,
        _: &mut dyn Sys,
        _: &Store,
        _: &Saved,
        _: Option<&Value>,
    ) -> Result<Restored, SysError> {
        Err(self.refusal())
    }
}
