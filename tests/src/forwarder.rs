//! A door into the appliance for clients that cannot speak CONNECT: a plain TCP port, each connection of which is carried
//! through a tunnel to one host, byte for byte.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use crate::tunnel::{self, STAFF};
use crate::upstream::listen;

/// Opens a port whose connections lead through the listener at `proxy` to `authority`.
pub fn forward(proxy: SocketAddr, authority: &str) -> SocketAddr {
    let authority = authority.to_owned();
    listen(move |client| {
        let tunnel = tunnel::open(STAFF, proxy, &authority);
        let _ = client.set_nodelay(true);
        let (Ok(client_reader), Ok(tunnel_writer)) = (client.try_clone(), tunnel.try_clone()) else { return };
        let up = thread::spawn(move || copy(client_reader, tunnel_writer));
        copy(tunnel, client);
        let _ = up.join();
    })
}

/// Copies to the end of one direction, and passes that end on.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
