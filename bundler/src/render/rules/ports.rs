//! One port, one service.

use std::collections::BTreeMap;

use chom_format::{ComponentName, UnitName};

use crate::problem::Problem;
use crate::render::wanted::{Rendered, Spot};
use crate::resolve::Origin;

const REMEDY: &str = "set another port for one of them in the inventory";

/// Where somebody has set a component's port, with its key.
pub(super) type Stated<'o> = dyn Fn(&ComponentName, u16) -> Option<(String, &'o Origin)> + 'o;

/// Ports that two services want: told at the line of the inventory that sets one of them, which `stated` knows, or at
/// the component's own.
pub(super) fn broken<'o>(rendered: &Rendered, stated: &Stated<'o>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut taken: BTreeMap<u16, (&UnitName, &Spot, &ComponentName)> = BTreeMap::new();
    for component in &rendered.components {
        for port in &component.ports {
            let (number, unit) = (port.value.port, &port.value.unit);
            match taken.get(&number) {
                None => {
                    taken.insert(number, (unit, &port.at, &component.name));
                }
                // A service may open one port to several components.
                Some((known, ..)) if *known == unit => {}
                Some((known, first, other)) => {
                    let message = format!("port {number} of {unit} is already that of {known}");
                    let written = stated(&component.name, number).or_else(|| stated(other, number));
                    problems.push(match written {
                        Some((key, at)) => {
                            Problem::at(&at.source, (at.line, at.column), key, message, REMEDY)
                        }
                        None => port.at.problem(format!("{message} ({first})"), REMEDY),
                    });
                }
            }
        }
    }
    problems
}
