//! Installation of the ticket keys of a process. It is possible only once, so this test has its own process.

use uptick_tls::TicketKeys;

#[test]
fn keys_are_installed_once_and_before_their_first_use() {
    let keys = TicketKeys::new().unwrap();
    let state = keys.export().unwrap();
    keys.install().unwrap();
    let of_process = TicketKeys::of_process().unwrap();
    assert_eq!(of_process.export().unwrap(), state);
    let error = TicketKeys::install(TicketKeys::new().unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "installing ticket keys failed: this process already has keys: install them before a context is loaded"
    );
    assert_eq!(of_process.export().unwrap(), state);
}
