//! The ticket keys of a process, which can be installed once: a process of its own.

use uptick_tls::TicketKeys;

#[test]
fn keys_are_installed_once_and_before_they_are_needed() {
    let keys = TicketKeys::new().unwrap();
    let state = keys.export().unwrap();
    keys.install().unwrap();
    let of_process = TicketKeys::of_process().unwrap();
    assert_eq!(of_process.export().unwrap(), state);
    let error = TicketKeys::install(TicketKeys::new().unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "installing ticket keys failed: this process has keys already: install them before a context is loaded"
    );
    assert_eq!(of_process.export().unwrap(), state);
}
