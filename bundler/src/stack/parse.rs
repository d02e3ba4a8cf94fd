//! One kind of file of `targets/` from text to type, with all its problems.

use std::marker::PhantomData;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::sources::TextFile;
use crate::problem::Problem;
use crate::yaml::walk::{self, Walk};
use crate::yaml::{self, Node};

/// What files of one kind look like.
pub struct Shape<T> {
    schema: Value,
    kind: PhantomData<fn() -> T>,
}

impl<T: JsonSchema + DeserializeOwned> Shape<T> {
    /// The shape of `T`.
    pub fn of() -> Self {
        Self { schema: schemars::schema_for!(T).into(), kind: PhantomData }
    }

    /// Reads a file, first as the tree that it is, then against the schema, then as `T`.
    pub fn parse(&self, file: &TextFile) -> Result<(T, Arc<Node>), Vec<Problem>> {
        let schema = &self.schema;
        let tree = yaml::read(&file.shown, &file.text).map_err(|problem| vec![problem])?;
        let problems = Walk::new(&file.shown, &file.text, schema).run(&tree, schema, "");
        if !problems.is_empty() {
            return Err(problems);
        }
        match serde_json::from_value(walk::value(&tree, schema, schema)) {
            Ok(read) => Ok((read, tree)),
            Err(error) => {
                let remedy = "docs/components.md describes the shape";
                Err(vec![Problem::whole(file.shown.clone(), error.to_string(), remedy)])
            }
        }
    }
}
