//! One thing that is backed up by itself, and restored by itself.

use serde::{Deserialize, Serialize};

use super::exclude::Exclude;
use crate::name::{AccountName, ComponentName, DatabaseName, PartName, UnitName};
use crate::path::HostPath;

/// A part of every backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupPart {
    /// `component.id`: the file's stem, and what `--only` takes.
    pub name: PartName,
    /// Whose it is.
    pub component: ComponentName,
    /// It may not be larger, in bytes: neither what is measured before, nor what is read.
    pub limit: u64,
    /// Services that write to it: they stand still while it is restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<UnitName>,
    /// For each program that reads or writes it, in seconds.
    #[serde(default = "ten_minutes")]
    pub timeout_s: u32,
    /// What it is.
    pub source: BackupSource,
}

fn ten_minutes() -> u32 {
    600
}

/// What a part is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "each variant is named after the source that it holds")]
pub enum BackupSource {
    Paths(PathsSource),
    Postgresql(PostgresqlSource),
    Mariadb(MariadbSource),
    Redis(RedisSource),
}

/// Files and directories with all below them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathsSource {
    /// Which.
    pub paths: Vec<HostPath>,
    /// What of it is left out, and left alone when the rest is restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Exclude>,
}

impl PathsSource {
    /// Whether a path is left out.
    pub fn excludes(&self, path: &HostPath) -> bool {
        self.exclude.iter().any(|exclude| exclude.holds(path))
    }
}

/// One PostgreSQL database, over its local socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresqlSource {
    /// Which.
    pub database: DatabaseName,
    /// Whose databases they are, on the host and in PostgreSQL; `postgres` when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountName>,
    /// Directory of the socket.
    #[serde(default = "postgresql_socket")]
    pub socket: HostPath,
    /// Part of the socket's name.
    #[serde(default = "postgresql_port")]
    pub port: u16,
}

/// Databases of one MariaDB, over its local socket, as root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MariadbSource {
    /// Which; all that are not the server's own when none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DatabaseName>,
    /// The socket.
    #[serde(default = "mariadb_socket")]
    pub socket: HostPath,
}

/// One Redis, over its loopback port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSource {
    /// Its unit: it stands still while its data is exchanged.
    pub unit: UnitName,
    /// Its port on the loopback address.
    #[serde(default = "redis_port")]
    pub port: u16,
    /// Its directory. What it says of itself is not believed: whoever answers there could name any.
    #[serde(default = "redis_dir")]
    pub dir: HostPath,
    /// A file on the host with its password, or with a line `requirepass ...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<HostPath>,
}

impl PostgresqlSource {
    /// The account that dumps and restores.
    pub fn account(&self) -> &str {
        self.account.as_ref().map_or("postgres", AccountName::as_str)
    }
}

fn postgresql_socket() -> HostPath {
    "/run/postgresql".parse().unwrap_or_else(|_| HostPath::root())
}

fn postgresql_port() -> u16 {
    5432
}

fn mariadb_socket() -> HostPath {
    "/run/mysqld/mysqld.sock".parse().unwrap_or_else(|_| HostPath::root())
}

fn redis_dir() -> HostPath {
    "/var/lib/redis".parse().unwrap_or_else(|_| HostPath::root())
}

fn redis_port() -> u16 {
    6379
}
