//! Databases of a MariaDB: SQL of `mariadb-dump`, one snapshot of every table that knows transactions.

use chom_format::DatabaseName;
use chom_format::backup::MariadbSource;

use super::{ask, number};
use crate::sys::{Command, Sys, SysError};

const OF_THE_SERVER: [&str; 4] = ["information_schema", "performance_schema", "mysql", "sys"];
const LAST: &[u8] = b"-- Dump completed";

/// The dump of a server that has no databases but its own.
pub const EMPTY: &[u8] = b"-- There was no database\n-- Dump completed\n";

/// Which databases there are, and how many bytes they say that their data has.
pub fn measure(sys: &dyn Sys, source: &MariadbSource) -> Result<(Vec<DatabaseName>, u64), SysError> {
    let there = databases(sys, source)?;
    let databases = match source.databases.as_slice() {
        [] => there,
        named => {
            if let Some(missing) = named.iter().find(|name| !there.contains(name)) {
                return Err(SysError::other("back up", format!("the database {missing}"), "it is not there"));
            }
            named.to_vec()
        }
    };
    let list: Vec<String> = databases.iter().map(|name| format!("'{name}'")).collect();
    let mut bytes = 0;
    if !list.is_empty() {
        let sum = format!(
            "SELECT CAST(COALESCE(SUM(DATA_LENGTH), 0) AS UNSIGNED) FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({})",
            list.join(", ")
        );
        let command = query(source, &sum);
        bytes = number(&command, &ask(sys, &command)?)?;
    }
    Ok((databases, bytes))
}

/// All databases that are not the server's own.
pub fn databases(sys: &dyn Sys, source: &MariadbSource) -> Result<Vec<DatabaseName>, SysError> {
    let command = query(source, "SHOW DATABASES");
    let text = ask(sys, &command)?;
    let names = text.lines().map(str::trim).filter(|name| !name.is_empty() && !OF_THE_SERVER.contains(name));
    let parse = |name: &str| {
        name.parse()
            .map_err(|why| SysError::other("back up", format!("the database {name}"), format!("{why}")))
    };
    names.map(parse).collect()
}

/// Writes databases to standard output, as SQL that makes each of them anew. Equal texts are equal databases.
pub fn dump(source: &MariadbSource, databases: &[DatabaseName]) -> Command {
    let socket = format!("--socket={}", source.socket);
    let options = [
        "mariadb-dump",
        "--protocol=socket",
        &socket,
        "--user=root",
        "--single-transaction",
        "--quick",
        "--routines",
        "--events",
        "--triggers",
        "--hex-blob",
        "--add-drop-database",
        "--skip-dump-date",
        "--default-character-set=utf8mb4",
        "--databases",
    ];
    Command::new(options.into_iter().chain(databases.iter().map(DatabaseName::as_str)))
}

/// Runs such SQL from standard input.
pub fn run_sql(source: &MariadbSource) -> Command {
    client(source, &["--default-character-set=utf8mb4"])
}

/// Takes databases away.
pub fn drop(source: &MariadbSource, databases: &[DatabaseName]) -> Command {
    let sql: Vec<String> =
        databases.iter().map(|name| format!("DROP DATABASE IF EXISTS `{name}`;")).collect();
    query(source, &sql.join(" "))
}

/// Whether the end is that of a whole dump.
pub fn look(tail: &[u8]) -> Result<(), String> {
    match tail.windows(LAST.len()).any(|part| part == LAST) {
        true => Ok(()),
        false => Err("its last line, which says that the dump is complete, is missing".to_owned()),
    }
}

fn query(source: &MariadbSource, sql: &str) -> Command {
    client(source, &["--batch", "--skip-column-names", "--execute", sql])
}

fn client(source: &MariadbSource, options: &[&str]) -> Command {
    let socket = format!("--socket={}", source.socket);
    let argv =
        ["mariadb", "--protocol=socket", &socket, "--user=root"].into_iter().chain(options.iter().copied());
    Command::new(argv)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_without_its_last_line_is_none() {
        assert_eq!(look(EMPTY), Ok(()));
        assert!(look(&EMPTY[..EMPTY.len() - 5]).is_err());
        assert!(look(b"").is_err());
    }
}
