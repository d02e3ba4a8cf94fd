//! Is a transaction of ours still open?

use super::Finding;

pub(super) fn check(unfinished: &[u64]) -> Finding {
    const CHECK: &str = "transaction";
    if unfinished.is_empty() {
        return Finding::pass(CHECK, "none is open");
    }
    let ids: Vec<String> = unfinished.iter().map(ToString::to_string).collect();
    let reason =
        format!("transaction {} was cut off, and is taken back before anything else", ids.join(", "));
    Finding::warn(CHECK, reason, "chom-install recover, or install, which does it first")
}
