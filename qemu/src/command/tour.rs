//! The product's main job, shown step by step: the way is tested, the bridge lowered, an engineer comes in with the stock
//! `ssh`, does something, and is cut off by Stop. Each step is looked at, and the first that is not so ends the tour.

use super::bridge::{Opened, Say, Scene, grant, ssh_line};
use super::outside::{PROXY, Way};
use drawbridge_bus::bridge::BridgeState;
use drawbridge_lab::net::Program;
use drawbridge_lab::{Lab, LabError, within};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a command of the engineer's may take.
const COMMAND_WITHIN: Duration = Duration::from_mins(2);
/// How soon an engineer is greeted on his terminal.
const GREETED_WITHIN: Duration = Duration::from_secs(30);
/// How soon after Stop the engineer must be out. That he is out at all is what counts; the figure is printed.
const OUT_WITHIN: Duration = Duration::from_secs(20);
/// A secret as an engineer might guess it.
const GUESS: &str = "gravel-tuesday-umbrella-quench-nine-lamp";

/// Why the tour ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TourError {
    #[error(transparent)]
    Lab(#[from] LabError),
    #[error("not as it should be: {0}")]
    Wrong(String),
}

struct Tour<'a> {
    scene: Scene<'a>,
    lab: &'a Lab,
    step: u32,
}

/// Shows it all.
pub(crate) fn show(scene: Scene<'_>, lab: &Lab, say: Say<'_>) -> Result<(), TourError> {
    let mut tour = Tour { scene, lab, step: 0 };
    tour.test(say)?;
    let opened = tour.lower(say)?;
    tour.guess(&opened, say)?;
    tour.work(&opened, say)?;
    let inside = tour.stay(&opened, say)?;
    tour.cut_off(&inside, say)?;
    tour.locked_out(&opened, say)?;
    say("");
    say("The engineer was in, did something, and was cut off by Stop; nothing of the session is left.");
    Ok(())
}

impl Tour<'_> {
    fn begin(&mut self, text: &str, say: Say<'_>) {
        self.step += 1;
        say("");
        say(&format!("{}. {text}", self.step));
    }

    fn test(&mut self, say: Say<'_>) -> Result<(), TourError> {
        let (address, port) = PROXY;
        self.begin(
            &format!("The owner tests the way, which leads through the proxy {address}:{port} alone."),
            say,
        );
        if self.scene.test(Way::Proxy, say)? {
            Ok(())
        } else {
            Err(TourError::Wrong("the test of the way failed".to_owned()))
        }
    }

    fn lower(&mut self, say: Say<'_>) -> Result<Opened, TourError> {
        self.begin("He takes the secret that the appliance offers, and clicks Connect.", say);
        let opened = self.scene.open(grant("the tour", 30), Way::Proxy, say)?;
        let opened = opened.ok_or_else(|| TourError::Wrong("the bridge could not be lowered".to_owned()))?;
        say(&format!(
            "The secret is {}. He tells it to the engineer on the telephone.",
            opened.secret.reveal()
        ));
        Ok(opened)
    }

    fn guess(&mut self, opened: &Opened, say: Say<'_>) -> Result<(), TourError> {
        self.begin("Somebody with the engineer's key, who does not know the secret, tries to get in.", say);
        let program = self.engineer(opened, "ssh", &["-T", "sa", "whoami"], GUESS)?;
        let status = program.wait(within(COMMAND_WITHIN))?;
        let said = program.whole_text();
        show_said(&said, say);
        if status.success() || said.contains("the tour") {
            return Err(TourError::Wrong("he got in with a wrong secret".to_owned()));
        }
        say("He is refused.");
        Ok(())
    }

    fn work(&mut self, opened: &Opened, say: Say<'_>) -> Result<(), TourError> {
        self.begin("The engineer, with the secret:", say);
        let ssh = ssh_line(&opened.ssh_config);
        for words in [&["whoami"][..], &["status"]] {
            say(&format!("$ {ssh} {}", words.join(" ")));
            let arguments = [&["-T", "sa"][..], words].concat();
            let program = self.engineer(opened, "ssh", &arguments, opened.secret.reveal())?;
            show_said(&finish(&program)?, say);
        }
        let sent = self.lab.folder().join("notes.txt");
        fs::write(&sent, "The disk in slot 7 is slow.\n").map_err(LabError::file("write", &sent))?;
        let (path, back) = (sent.display().to_string(), self.lab.folder().join("back.txt"));
        for words in [&[path.as_str(), "sa:notes.txt"], &["sa:notes.txt", &back.display().to_string()]] {
            say(&format!("$ scp -F {} {} {}", opened.ssh_config.display(), words[0], words[1]));
            show_said(&finish(&self.engineer(opened, "scp", words, opened.secret.reveal())?)?, say);
        }
        let (sent, back) = (
            fs::read(&sent).map_err(LabError::file("read", &sent))?,
            fs::read(&back).map_err(LabError::file("read", &back))?,
        );
        if sent != back {
            return Err(TourError::Wrong("the file came back as another".to_owned()));
        }
        say("The file that came back is the one that was sent.");
        Ok(())
    }

    fn stay(&mut self, opened: &Opened, say: Say<'_>) -> Result<Program, TourError> {
        self.begin("He opens a terminal, and the owner sees who is in.", say);
        let program = self.engineer(opened, "ssh", &["-tt", "sa"], opened.secret.reveal())?;
        program.wait_for("the tour", within(GREETED_WITHIN))?;
        show_said(&program.text(), say);
        let visitor =
            self.scene.owner.until("an engineer who is in", |status| status.visitors.first().cloned())?;
        say(&format!("In is {}, from {}.", visitor.name, visitor.source));
        Ok(program)
    }

    fn cut_off(&mut self, inside: &Program, say: Say<'_>) -> Result<(), TourError> {
        self.begin("The owner clicks Stop.", say);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let close = scope.spawn(|| self.scene.owner.close("the owner, on the tour"));
            let status = inside.wait(within(OUT_WITHIN))?;
            let out = begun.elapsed();
            if status.success() {
                return Err(TourError::Wrong(
                    "the engineer's terminal ended as if he had gone himself".to_owned(),
                ));
            }
            say(&format!("The engineer is out after {out:.1?}: his ssh ended with {status}."));
            let closed =
                close.join().unwrap_or_else(|_| Err(LabError::Unexpected("Stop broke off".to_owned())));
            Ok(closed?)
        })?;
        let status = self.scene.owner.status()?;
        if status.state != BridgeState::Closed || !status.visitors.is_empty() {
            return Err(TourError::Wrong(format!("the bridge is {:?}", status.state)));
        }
        say(&format!("The bridge is up: no process, no socket, no terminal is left. {}", status.last_end));
        Ok(())
    }

    fn locked_out(&mut self, opened: &Opened, say: Say<'_>) -> Result<(), TourError> {
        self.begin("He tries to come back, with the secret that was right.", say);
        let program = self.engineer(opened, "ssh", &["-T", "sa", "whoami"], opened.secret.reveal())?;
        let status = program.wait(within(COMMAND_WITHIN))?;
        show_said(&program.whole_text(), say);
        if status.success() {
            return Err(TourError::Wrong("he got in after Stop".to_owned()));
        }
        Ok(())
    }

    fn engineer(
        &self,
        opened: &Opened,
        program: &str,
        words: &[&str],
        secret: &str,
    ) -> Result<Program, LabError> {
        let mut command = Command::new(program);
        command.arg("-F").arg(&opened.ssh_config).args(words);
        self.scene.outside.vendor().ask_pass(&mut command, secret)?;
        Program::of_this_machine(self.lab, command)
    }
}

fn finish(program: &Program) -> Result<String, TourError> {
    Ok(program.finish(within(COMMAND_WITHIN))?)
}

/// What a program said, indented. Control characters of a terminal are left out.
fn show_said(text: &str, say: Say<'_>) {
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        let plain: String = line.chars().filter(|char| !char.is_control()).collect();
        say(&format!("    {plain}"));
    }
}
