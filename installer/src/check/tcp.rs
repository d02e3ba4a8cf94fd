//! A TCP connection: the least that a service must do.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::Miss;

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
