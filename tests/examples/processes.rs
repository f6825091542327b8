//! Tests of `09-child-process`.

use rustix::process::Signal;

use crate::program::Program;

#[test]
fn a_program_runs_with_prefixed_output_and_its_exit_code_is_returned() {
    let ended = Program::start("09-child-process", &[]).wait();
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    let mut lines = ended.stdout;
    lines.sort();
    assert_eq!(lines, ["err: careful", "exit code 3", "out: working"]);
}

#[test]
fn standard_input_is_forwarded_to_the_program() {
    let script = "read name; echo hello $name; read rest || echo the end";
    let mut program = Program::start("09-child-process", &["sh", "-c", script]);
    program.input("Ann\n");
    assert_eq!(program.line(), "out: hello Ann");
    program.end_input();
    assert_eq!(program.line(), "out: the end");
    assert_eq!(program.line(), "exit code 0");
    assert!(program.wait().status.success());
}

#[test]
fn a_signal_ends_the_program() {
    let program = Program::start(
        "09-child-process",
        &["sh", "-c", "echo up; exec sleep 1000"],
    );
    assert_eq!(program.line(), "out: up");
    program.signal(Signal::INT);
    assert_eq!(program.line(), "signal 15");
    assert_eq!(program.wait().status.code(), Some(1));
}

#[test]
fn a_program_that_does_not_exist_is_reported() {
    let ended = Program::start("09-child-process", &["/no/such/program"]).wait();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(
        ended.stderr,
        ["Error: starting /no/such/program failed: No such file or directory (ENOENT)"]
    );
}
