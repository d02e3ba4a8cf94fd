//! One file of `targets/` from text to type, with all its problems.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::sources::TextFile;
use crate::problem::Problem;
use crate::yaml::walk::{self, Walk};
use crate::yaml::{self};

/// Reads a file as `T`: first its shape against the schema of `T`, then `T` itself.
pub fn parse<T: JsonSchema + DeserializeOwned>(file: &TextFile) -> Result<T, Vec<Problem>> {
    let tree = yaml::read(&file.shown, &file.text).map_err(|problem| vec![problem])?;
    let schema: Value = schemars::schema_for!(T).into();
    let problems = Walk::new(&file.shown, &file.text, &schema).run(&tree, &schema, "");
    if !problems.is_empty() {
        return Err(problems);
    }
    serde_json::from_value(walk::value(&tree, &schema, &schema)).map_err(|error| {
        vec![Problem::whole(file.shown.clone(), error.to_string(), "docs/components.md describes the shape")]
    })
}
