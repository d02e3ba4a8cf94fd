//! A TCP connection: the least that a service must do.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use chom_format::UnitName;

use super::kind::{Asking, CheckKind};
use super::{Answer, Miss};

/// See [`chom_format::Probe::Tcp`].
pub(super) struct TcpCheck<'a> {
    pub(super) address: &'a str,
}

impl CheckKind for TcpCheck<'_> {
    fn ask(&self, _: &Asking<'_>, timeout: Duration) -> Answer {
        connect(self.address, timeout).map(|_| format!("{} accepts connections", self.address))
    }

    fn remedy(&self) -> String {
        match self.address.rsplit_once(':') {
            Some((_, port)) => format!("ss -ltnp 'sport = :{port}'"),
            None => "ss -ltnp".to_owned(),
        }
    }

    fn unit(&self) -> Option<&UnitName> {
        None
    }
}

/// Connects to `address:port`, to any of the addresses that a name has.
pub(super) fn connect(address: &str, timeout: Duration) -> Result<TcpStream, Miss> {
    let addresses: Vec<SocketAddr> = match address.to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(Miss::new(format!("`{address}` has no address: {error}"))),
    };
    let mut last = format!("`{address}` has no address");
    for one in addresses {
        match TcpStream::connect_timeout(&one, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = format!("{one} does not accept connections: {error}"),
        }
    }
    Err(Miss::new(last))
}
