//! Runs that are killed, interrupted, starved of disk space, or given other threads: all of them must end like the
//! one that was left alone.

use std::process::Command;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::invoke::{Workplace, signal};
use crate::tiny_run::{Told, arguments, records, resumes, search, unbroken};

const PHASES: [&str; 4] = ["warm_supernet", "warm_eval", "joint", "retrain"];
/// Steps of every epoch of the tiny run.
const STEPS: u64 = 4;

/// A step of a phase; which cycle or epoch is left to chance, as both come in order.
#[derive(Clone, Copy, Debug)]
struct Moment {
    phase: &'static str,
    cycle: u64,
    step: u64,
    delay: Duration,
}

impl Moment {
    fn random(rng: &mut ChaCha8Rng, phase: &'static str, cycle: u64) -> Self {
        let (step, delay) = (rng.random_range(1..=STEPS), rng.random_range(0..15));
        Self { phase, cycle, step, delay: Duration::from_millis(delay) }
    }

    fn has_come(&self, event: &Value) -> bool {
        event["event"] == "progress"
            && event["phase"] == self.phase
            && event["cycle"].as_u64().is_none_or(|cycle| cycle == self.cycle)
            && event["step"] == self.step
    }
}

/// Starts or resumes the run, whatever comes first.
fn next_call(workplace: &Workplace) -> Vec<&'static str> {
    match workplace.path("run/manifest.json").exists() {
        true => vec!["search", "--resume", "run", "--json"],
        false => arguments(&["search", "--out", "run", "--json"], &[]),
    }
}

#[test]
fn killed_in_every_phase_and_resumed_it_ends_the_same() {
    for seed in 0..3 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let cycle = rng.random_range(0..2);
        let workplace = Workplace::new();
        let moments = PHASES.map(|phase| Moment::random(&mut rng, phase, cycle));
        for moment in moments {
            let code = workplace.stop_at(
                &next_call(&workplace),
                |event| moment.has_come(event),
                |child| {
                    std::thread::sleep(moment.delay);
                    child.kill().unwrap();
                },
            );
            assert_eq!(code, None, "ended by itself before the kill: {moment:?}");
        }
        let call = workplace.succeed(&next_call(&workplace));
        let run = workplace.path("run");
        assert!(resumes(&run) >= 1, "{moments:?}");
        assert_eq!(&Told::by(&run, &call.stdout), unbroken(), "seed {seed}: {moments:?}");
    }
}

#[test]
fn interrupted_within_an_epoch_it_saves_says_so_and_ends_the_same() {
    let workplace = Workplace::new();
    // Without checkpoints by time, so that the steps done are kept by the interruption alone.
    let seldom = ["--set", "run.checkpoint_minutes=0"];
    for (phase, name) in PHASES.into_iter().zip(["-INT", "-TERM", "-INT", "-INT"]) {
        let call = match workplace.path("run").exists() {
            true => vec!["search", "--resume", "run", "--json"],
            false => arguments(&["search", "--out", "run", "--json"], &seldom),
        };
        let moment = Moment { phase, cycle: 1, step: 1, delay: Duration::ZERO };
        let code = workplace.stop_at(&call, |event| moment.has_come(event), |child| signal(child, name));
        assert_eq!(code, Some(130), "{phase}");
    }
    let run = workplace.path("run");
    let call = workplace.succeed(&["search", "--resume", "run", "--json", "--threads", "1"]);
    let steps: Vec<u64> = records(&run)
        .iter()
        .map(|record| serde_json::to_value(record).unwrap())
        .filter(|record| record["event"] == "resumed")
        .map(|record| record["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps.len(), 4);
    assert!(steps.iter().any(|&step| step > 0), "no stop was within an epoch: {steps:?}");
    assert_eq!(&Told::by(&run, &call.stdout), unbroken());
}

#[test]
fn an_interruption_names_the_command_that_goes_on() {
    let workplace = Workplace::new();
    let mut command = workplace.command(&arguments(&["search", "--out", "my run"], &["--progress", "none"]));
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    while !workplace.path("my run/checkpoints/000002.ckpt").exists() {
        assert!(child.try_wait().unwrap().is_none(), "ended before it could be interrupted");
        std::thread::sleep(Duration::from_millis(2));
    }
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("go on with: cdarts search --resume 'my run'"), "{said}");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    // Large enough that operations are spread over threads: 64 images, 8 channels and more.
    let settings = [
        "search.warmup_epochs=1",
        "search.cycles=1",
        "search.epoch_fraction=0.2",
        "search.fix_heads=false",
        "retrain.epochs=1",
        "retrain.auxiliary_weight=0.4",
        "data.test_fraction=0.8",
        "run.journal_steps=1",
    ];
    let told = ["1", "2", "5", "5"].map(|threads| {
        let workplace = Workplace::new();
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let call = ["search", "--out", "run", "--json", "--threads", threads];
        let arguments: Vec<&str> = call.into_iter().chain(settings).collect();
        Told::by(&workplace.path("run"), &workplace.succeed(&arguments).stdout)
    });
    told.iter().for_each(|other| assert_eq!(other, &told[0]));
}

#[test]
fn another_seed_gives_another_run() {
    let workplace = Workplace::new();
    let call = search(&workplace, "run", &["--json", "--seed", "2"]);
    assert_ne!(Told::by(&workplace.path("run"), &call.stdout).records, unbroken().records);
}

#[test]
fn a_retrained_genotype_is_kept_for_the_resume() {
    let workplace = Workplace::new();
    let whole = workplace.succeed(&arguments(&["retrain", "darts-v1", "--out", "whole", "--json"], &[]));
    let moment = Moment { phase: "retrain", cycle: 0, step: 2, delay: Duration::ZERO };
    let call = arguments(&["retrain", "darts-v1", "--out", "broken", "--json"], &[]);
    let code = workplace.stop_at(&call, |event| moment.has_come(event), |child| child.kill().unwrap());
    assert_eq!(code, None);
    let resumed = workplace.succeed(&["retrain", "--resume", "broken", "--json"]);
    let told = Told::by(&workplace.path("broken"), &resumed.stdout);
    assert_eq!(told, Told::by(&workplace.path("whole"), &whole.stdout));
    assert_eq!(told.genotype, cdarts::space::published("darts-v1").unwrap().to_string());
}

/// A small disk, as long as the value lives.
struct SmallDisk<'a>(&'a std::path::Path);

impl<'a> SmallDisk<'a> {
    /// None where the user may not mount.
    fn mount(at: &'a std::path::Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[test]
fn a_disk_that_fills_up_costs_nothing_that_was_saved() {
    let workplace = Workplace::new();
    let disk = workplace.path("disk");
    let Some(_disk) = SmallDisk::mount(&disk) else {
        println!("skipped: this user may not mount a small disk");
        return;
    };
    let ballast = disk.join("ballast");
    let moment = Moment { phase: "warm_eval", cycle: 0, step: 2, delay: Duration::ZERO };
    let call = arguments(&["search", "--out", "disk/run", "--json"], &[]);
    let fill = || {
        let full = std::fs::write(&ballast, vec![1; 32 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    };
    let code = workplace.stop_at(&call, |event| moment.has_come(event), |_| fill());
    assert_eq!(code, Some(1));

    // With the disk still full the reason is told, and the folder stays as it is.
    let still_full = workplace.call(&["search", "--resume", "disk/run", "--json"]);
    assert_eq!((still_full.code, still_full.stdout.as_str()), (Some(1), ""));
    assert!(still_full.stderr.contains("disk/run"), "{}", still_full.stderr);
    assert!(still_full.stderr.contains("hint: the disk is full; free some space"), "{}", still_full.stderr);

    std::fs::remove_file(&ballast).unwrap();
    let call = workplace.succeed(&["search", "--resume", "disk/run", "--json"]);
    assert_eq!(&Told::by(&disk.join("run"), &call.stdout), unbroken());
}
