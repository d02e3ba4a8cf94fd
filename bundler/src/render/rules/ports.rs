//! One port, one service.

use std::collections::BTreeMap;

use chom_format::UnitName;

use crate::problem::Problem;
use crate::render::wanted::{Rendered, Spot};

pub(super) fn broken(rendered: &Rendered) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut taken: BTreeMap<u16, (&UnitName, &Spot)> = BTreeMap::new();
    for port in rendered.components.iter().flat_map(|component| &component.ports) {
        let number = port.value.port;
        match taken.get(&number) {
            None => {
                taken.insert(number, (&port.value.unit, &port.at));
            }
            // A service may open one port to several components.
            Some((unit, _)) if **unit == port.value.unit => {}
            Some((unit, first)) => {
                let message =
                    format!("port {number} of {} is already that of {unit} ({first})", port.value.unit);
                problems.push(port.at.problem(message, "set another port for one of them in the inventory"));
            }
        }
    }
    problems
}
