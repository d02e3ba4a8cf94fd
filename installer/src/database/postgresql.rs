//! One PostgreSQL database: `pg_dump` in its custom format, which is one snapshot and squeezed by itself.

use chom_format::backup::PostgresqlSource;

use super::{ask, number};
use crate::sys::{Command, Sys, SysError};

/// So much of a dump is given to `pg_restore`, which reads the table of contents only.
pub const HEAD: usize = 1 << 20;

/// What the database takes on the disk, its indexes included.
pub fn measure(sys: &dyn Sys, source: &PostgresqlSource) -> Result<u64, SysError> {
    // The name has no quote: its type says so.
    let command = query(source, &format!("SELECT pg_database_size('{}')", source.database));
    number(&command, &ask(sys, &command)?)
}

/// Whether there is such a database.
pub fn exists(sys: &dyn Sys, source: &PostgresqlSource) -> Result<bool, SysError> {
    let sql = format!("SELECT count(*) FROM pg_database WHERE datname = '{}'", source.database);
    let command = query(source, &sql);
    Ok(number(&command, &ask(sys, &command)?)? == 1)
}

/// Writes the database to standard output.
pub fn dump(source: &PostgresqlSource) -> Command {
    command(source, "pg_dump", &["--format=custom", "--dbname", source.database.as_str()])
}

/// The same as SQL that makes the database anew: equal texts are equal databases.
pub fn dump_sql(source: &PostgresqlSource) -> Command {
    let options =
        ["--format=plain", "--create", "--clean", "--if-exists", "--dbname", source.database.as_str()];
    command(source, "pg_dump", &options)
}

/// Makes the database anew from such SQL on standard input.
pub fn run_sql(source: &PostgresqlSource) -> Command {
    command(
        source,
        "psql",
        &["-X", "--quiet", "--output=/dev/null", "--set=ON_ERROR_STOP=1", "--dbname=postgres"],
    )
}

/// Makes the database anew from a dump on standard input: all or, with an exit code, some of it.
pub fn restore(source: &PostgresqlSource) -> Command {
    let options = ["--clean", "--if-exists", "--create", "--exit-on-error", "--dbname=postgres"];
    command(source, "pg_restore", &options)
}

/// Takes the database away.
pub fn drop(source: &PostgresqlSource) -> Command {
    query(source, &format!("DROP DATABASE IF EXISTS \"{}\"", source.database))
}

/// Lines of SQL that differ between two dumps of one state: a key that `psql` is given against injected commands.
pub fn is_noise(line: &[u8]) -> bool {
    line.starts_with(b"\\restrict ") || line.starts_with(b"\\unrestrict ")
}

/// Whether the beginning is that of a dump whose table of contents `pg_restore` can read.
pub fn look(sys: &dyn Sys, head: &[u8]) -> Result<(), String> {
    if !head.starts_with(b"PGDMP") {
        return Err("it is no dump of PostgreSQL".to_owned());
    }
    let command = Command { stdin: Some(head.to_vec()), ..Command::new(["pg_restore", "--list"]) };
    match sys.ask(&command) {
        Ok(output) if output.success() => Ok(()),
        Ok(output) => Err(format!("pg_restore cannot read it: {}", output.complaint())),
        // A host without the program, or a directory that stands for one, has only the digests to go by.
        Err(SysError::Io { .. }) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn query(source: &PostgresqlSource, sql: &str) -> Command {
    command(
        source,
        "psql",
        &["-X", "--quiet", "--tuples-only", "--no-align", "--dbname=postgres", "--command", sql],
    )
}

fn command(source: &PostgresqlSource, program: &str, options: &[&str]) -> Command {
    let (host, port) = (format!("--host={}", source.socket), format!("--port={}", source.port));
    let user = format!("--username={}", source.account());
    let argv = [program, &host, &port, &user, "--no-password"].into_iter().chain(options.iter().copied());
    Command { user: Some(source.account().to_owned()), ..Command::new(argv) }
}
