//! Tests of `08-other-threads`.

use crate::peer::Peer;
use crate::program::Program;

#[test]
fn results_of_another_thread_are_sent_and_enter_shuts_down() {
    let (mut server, uri) = Program::serve("08-other-threads", &[]);
    let mut peer = Peer::connect(&uri);
    peer.send("12 7\n");
    peer.expect("12 = 2 * 2 * 3");
    peer.expect("7 = 7");
    peer.send("1000036000099\n");
    peer.expect("1000036000099 = 1000003 * 1000033");
    peer.send("x\n");
    peer.expect("send numbers");
    server.input("\n");
    peer.finish();
    peer.expect_end();
    let ended = server.wait();
    assert!(ended.status.success(), "{ended:?}");
}
