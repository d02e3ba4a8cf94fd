//! A rendered YAML or JSON file must be one.

use super::Shown;
use crate::problem::Problem;
use crate::render::sources::Sources;
use crate::yaml;

pub(super) fn broken(texts: &[Shown<'_>], sources: &Sources) -> Vec<Problem> {
    texts.iter().filter_map(|text| one(text, sources)).collect()
}

fn one(text: &Shown<'_>, sources: &Sources) -> Option<Problem> {
    let remedy = "look at it with `chom-bundle render`";
    match text.path.name().rsplit_once('.').map(|(_, suffix)| suffix) {
        Some("yml" | "yaml") => {
            let broken = yaml::read(text.path.as_str(), text.content).err()?;
            // More than one document and own tags are YAML, too.
            let wrong = broken.message.starts_with("this is not YAML");
            wrong.then(|| text.problem(broken.line, sources, &broken.message, remedy))
        }
        Some("json") => {
            let error = serde_json::from_str::<serde::de::IgnoredAny>(text.content).err()?;
            Some(text.problem(error.line(), sources, &format!("this is not JSON: {error}"), remedy))
        }
        _ => None,
    }
}
