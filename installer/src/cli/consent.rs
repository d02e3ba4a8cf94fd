//! How a person, or `--yes`, agrees.

use std::sync::Arc;

use chom_format::shown;

use crate::plan::{Plan, Style};
use crate::run::{Consent, Proposal, RunError, Waiting};
use crate::transaction::TransactionRecord;
use crate::ui::{Answer, Printer, ask, ask_within, somebody};

/// Shows what is to be done and asks, unless `--yes` has answered.
pub(super) struct Agreement {
    printer: Arc<Printer>,
    yes: bool,
}

impl Agreement {
    /// Refuses at once when nobody could be asked: a run in a script must not end half way at a question.
    pub(super) fn new(printer: Arc<Printer>, yes: bool) -> Result<Self, RunError> {
        if yes || somebody() { Ok(Self { printer, yes }) } else { Err(RunError::NobodyToAsk) }
    }

    /// Whether these transactions shall be taken back.
    pub(super) fn agree_to_roll_back(&self, known: &[&TransactionRecord]) -> Result<(), RunError> {
        for known in known {
            let bundle = known.state.begin.as_ref().map(|begin| begin.bundle.as_str()).unwrap_or_default();
            self.printer.say(format_args!("transaction {} ({bundle}) will be taken back", known.id));
        }
        let resources = known.iter().flat_map(|known| &known.state.saved);
        self.decide("take back?", || {
            let list: Vec<String> =
                resources.map(|(resource, _)| format!("  {}", shown(&resource.to_string()))).collect();
            format!("these become as they were before:\n{}\n", list.join("\n"))
        })
    }

    /// Whether this backup shall be brought back.
    pub(super) fn agree_to_restore(&self, id: u64, plan: &Plan) -> Result<(), RunError> {
        let color = self.printer.data_in_color();
        if self.printer.json_wanted() {
            self.printer.json_line(&serde_json::json!({ "event": "plan", "backup": id, "plan": plan }));
        } else {
            self.printer.styled(plan.show(Style { color, all: false }));
        }
        self.decide(&format!("restore backup {id}?"), || plan.show(Style { color, all: true }))
    }

    fn decide(&self, question: &str, explain: impl FnOnce() -> String) -> Result<(), RunError> {
        if self.yes {
            return Ok(());
        }
        let mut explain = Some(explain);
        loop {
            match ask(&self.printer, question) {
                Answer::Yes => return Ok(()),
                Answer::No => return Err(RunError::NotAgreed),
                Answer::Explain => match explain.take() {
                    Some(explain) => self.printer.always_styled(explain()),
                    None => self.printer.always("that is all there is to tell"),
                },
            }
        }
    }
}

impl Consent for Agreement {
    fn agree_to_recover(&self, unfinished: &[u64]) -> Result<(), RunError> {
        let ids: Vec<String> = unfinished.iter().map(ToString::to_string).collect();
        self.printer.warn(format_args!("transaction {} was cut off: it is taken back first", ids.join(", ")));
        self.decide("take it back?", || {
            "everything that it touched becomes as it was before it began".to_owned()
        })
    }

    fn agree_to_install(&self, proposal: &Proposal<'_>) -> Result<(), RunError> {
        let Proposal { bundle, plan, findings, recorded } = proposal;
        let color = self.printer.data_in_color();
        if self.printer.json_wanted() {
            self.printer.json_line(&serde_json::json!({
                "event": "plan", "bundle": bundle, "plan": plan, "preflight": findings, "recorded": recorded,
            }));
        } else {
            self.printer.styled(plan.show(Style { color, all: false }));
            if let Some(line) = recorded.line() {
                self.printer.data(format_args!("{line}\n"));
            }
            let worth_knowing = findings.table(false);
            if !worth_knowing.is_empty() {
                self.printer.always(worth_knowing.trim_end());
            }
        }
        self.decide(&format!("install {bundle}?"), || {
            format!("{}{}", plan.show(Style { color, all: true }), findings.table(true))
        })
    }

    fn agree_to_expose(&self, waiting: &Waiting, left: &dyn Fn() -> Option<u64>) -> bool {
        self.printer.always("the firewall has changed, and all checks pass");
        self.printer.always("log in from where you usually do, over a new connection, and then say yes here");
        self.printer.always(format_args!("or there: {}", waiting.command));
        ask_within(&self.printer, "can you still log in?", left)
    }
}
