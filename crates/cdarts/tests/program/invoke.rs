//! Calling the program in a folder of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder to work in, and the program in it.
pub struct Workplace {
    folder: TempDir,
}

/// What a call left.
#[derive(Debug)]
pub struct Call {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Workplace {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, not yet started; output does not depend on who runs the tests where.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cdarts"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM"] {
            command.env_remove(variable);
        }
        command.env("COLUMNS", "100");
        command
    }

    pub fn call(&self, arguments: &[&str]) -> Call {
        finished(&mut self.command(arguments))
    }

    /// Calls the program, which has to succeed.
    pub fn succeed(&self, arguments: &[&str]) -> Call {
        let call = self.call(arguments);
        assert_eq!(call.code, Some(0), "{arguments:?}: {}", call.stderr);
        call
    }

    /// Starts the program with JSON progress and ends it by `stop` once `moment` has come. Returns its exit code.
    pub fn stop_at(
        &self,
        arguments: &[&str],
        moment: impl Fn(&Value) -> bool,
        stop: impl Fn(&mut Child),
    ) -> Option<i32> {
        let mut command = self.command(arguments);
        command.args(["--progress", "json"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut stopped = false;
        let mut said = Vec::new();
        for line in lines.map_while(Result::ok) {
            let event = serde_json::from_str(&line).unwrap_or(Value::Null);
            if !stopped && moment(&event) {
                stop(&mut child);
                stopped = true;
            }
            said.push(line);
        }
        let status = child.wait().unwrap();
        assert!(stopped, "the moment never came: {}", said.join("\n"));
        status.code()
    }
}

pub fn finished(command: &mut Command) -> Call {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Call { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Sends a signal by name.
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Files below `folder`, as relative paths, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
