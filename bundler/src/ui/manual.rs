//! Manual pages from the same types as the help.

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ManualError {
    /// There is no such command.
    #[error("there is no command `{0}`")]
    Unknown(String),
    /// It could not be written.
    #[error("write the manual page")]
    Write(#[source] std::io::Error),
}

impl Explain for ManualError {
    fn exit(&self) -> Exit {
        match self {
            Self::Unknown(_) => Exit::BadInput,
            Self::Write(_) => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some("`chom-bundle help` lists the commands".to_owned())
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

/// The page of the program or of one of its commands.
pub fn page(program: clap::Command, command: Option<&str>) -> Result<String, ManualError> {
    let mut program = program;
    program.build();
    let page = match command {
        None => program,
        Some(name) => {
            let found = program.find_subcommand(name);
            found.cloned().ok_or_else(|| ManualError::Unknown(name.to_owned()))?
        }
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(page).render(&mut roff).map_err(ManualError::Write)?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_and_each_command_have_a_page() {
        let program = crate::cli::command();
        assert!(page(program.clone(), None).unwrap().contains(".TH chom-bundle 1"));
        let names: Vec<String> =
            program.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        for name in names {
            assert!(page(program.clone(), Some(&name)).unwrap().contains(".SH SYNOPSIS"), "{name}");
        }
        assert!(matches!(page(program, Some("nonesuch")), Err(ManualError::Unknown(_))));
    }
}
