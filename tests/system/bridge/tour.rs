//! What `qemu/run` shows to a person who never saw the project: the lab's own command, from its start to its end.

use drawbridge_lab::net::Program;
use drawbridge_lab::{Lab, within};
use drawbridge_tests::Image;
use std::process::Command;
use std::time::Duration;

/// How long the appliance may take to come up, and a tour to be shown.
const TOUR: Duration = Duration::from_mins(3);
const SOON: Duration = Duration::from_mins(1);

fn start(lab: &Lab, words: &[&str]) -> Program {
    let command = drawbridge_lab::vendor::beside("lab");
    let mut program =
        Command::new(command.expect("the lab's command beside the tests: cargo build -p drawbridge-lab"));
    program.args(words).arg("--state").arg(lab.folder().join("state"));
    Program::of_this_machine(lab, program).expect("the command starts")
}

fn run(lab: &Lab, image: &Image, option: &[&str]) -> Program {
    // The kernel chooses both ports, so that tests can run beside each other.
    let image = image.folder().to_str().expect("a folder's name");
    start(
        lab,
        &[&["run", "--image", image, "--port", "0", "--ssh-port", "0", "--quiet"][..], option].concat(),
    )
}

#[test]
fn the_tour_lets_an_engineer_in_and_cuts_him_off() {
    let lab = Lab::new("tour");
    let tour = run(&lab, &Image::here(), &["--tour"]);
    let status = tour.wait(within(TOUR)).unwrap();
    let said = tour.whole_text();
    assert!(status.success(), "{status}\n{said}");
    for wanted in ["PASS  Login at the server", "He is refused.", "In is anna", "The engineer is out after"] {
        assert!(said.contains(wanted), "no {wanted:?} in\n{said}");
    }
    assert!(!said.contains("FAIL"), "{said}");
}

#[test]
fn the_small_command_opens_a_session_and_says_what_is_wrong() {
    let lab = Lab::new("small command");
    let without = start(&lab, &["bridge", "open"]);
    assert!(!without.wait(within(SOON)).unwrap().success());
    assert!(without.whole_text().contains("no appliance with a bridge runs"), "{}", without.text());

    let running = run(&lab, &Image::here(), &[]);
    running.wait_for("qemu/bridge engineer", within(TOUR)).unwrap();
    let ask = |words: &[&str]| {
        let program = start(&lab, &[&["bridge"], words].concat());
        let status = program.wait(within(SOON)).unwrap();
        (status.success(), program.whole_text())
    };
    let (is_well, said) = ask(&["test", "--direct"]);
    assert!(!is_well && said.contains("FAIL  The connection to 203.0.113.10:443"), "{said}");
    let (is_well, said) = ask(&["open", "--minutes", "2"]);
    assert!(is_well && said.contains("ssh -F "), "{said}");
    let (is_well, said) = ask(&["open"]);
    assert!(!is_well && said.contains("not up"), "{said}");
    let (is_well, said) = ask(&["status"]);
    assert!(is_well && said.contains("it ends by itself in"), "{said}");
    let (is_well, said) = ask(&["close"]);
    assert!(is_well && said.contains("nothing of the session is left"), "{said}");

    running.signal(drawbridge_lab::net::Signal::SIGTERM).unwrap();
    let status = running.wait(within(SOON)).unwrap();
    assert!(status.success(), "{status}\n{}", running.whole_text());
}
