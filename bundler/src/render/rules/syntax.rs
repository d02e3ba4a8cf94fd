//! A rendered YAML or JSON file must be one.

use super::Shown;
use crate::problem::Problem;
use crate::render::sources::Sources;

pub(super) fn broken(texts: &[Shown<'_>], sources: &Sources) -> Vec<Problem> {
    texts.iter().filter_map(|text| one(text, sources)).collect()
}

fn one(text: &Shown<'_>, sources: &Sources) -> Option<Problem> {
    let remedy = "look at it with `chom-bundle render`";
    if let Some(Err(broken)) = text.yaml() {
        // More than one document and own tags are YAML, too.
        let wrong = broken.message.starts_with("this is not YAML");
        return wrong.then(|| text.problem(broken.line, sources, &broken.message, remedy));
    }
    if !text.path.name().ends_with(".json") {
        return None;
    }
    let error = serde_json::from_str::<serde::de::IgnoredAny>(text.content).err()?;
    Some(text.problem(error.line(), sources, &format!("this is not JSON: {error}"), remedy))
}
