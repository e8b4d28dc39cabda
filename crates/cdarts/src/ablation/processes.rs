//! Searches in processes of their own, as many at a time as were asked for and as memory has room for.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::Search;
use crate::error::CliError;
use crate::interrupt::Interrupt;

/// Between two looks at the processes.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a process runs before the memory that it takes is known.
const SETTLING: Duration = Duration::from_secs(20);
/// Free memory that a further process needs, as a multiple of the most that one has taken.
const ROOM: f64 = 1.25;

/// A command for a search.
#[derive(Clone, Debug)]
pub struct Job {
    /// The search.
    pub search: Search,
    /// Arguments of the program.
    pub arguments: Vec<OsString>,
    /// Where its standard error goes.
    pub log: PathBuf,
}

/// Jobs under way.
pub struct Jobs {
    most: usize,
    running: Vec<Running>,
    /// None where the system does not tell; then memory is no bound.
    system: Option<System>,
    /// Most memory that a process has taken, in bytes.
    taken: u64,
}

struct Running {
    job: Job,
    child: Child,
    since: Instant,
    told_to_stop: bool,
}

impl Jobs {
    /// At most `most` at a time.
    pub fn new(most: usize) -> Self {
        Self { most, running: Vec::new(), system: System::new().ok(), taken: 0 }
    }

    /// Works through `jobs`; `ended` hears of each that ends, and how many still run. Where the user asks to stop, all
    /// that run save and stop, and no further one starts.
    ///
    /// # Errors
    /// Where a process cannot be started; those that run are waited for.
    pub fn work(
        &mut self,
        jobs: Vec<Job>,
        interrupt: &Interrupt,
        mut begun: impl FnMut(&Job),
        mut ended: impl FnMut(&Job, ExitStatus),
    ) -> Result<(), CliError> {
        let mut waiting = jobs.into_iter().peekable();
        let mut failed = Ok(());
        loop {
            let stopping = interrupt.asked() || failed.is_err();
            if stopping {
                self.running.iter_mut().for_each(Running::tell_to_stop);
            } else if self.has_room()
                && let Some(job) = waiting.next()
            {
                begun(&job);
                match start(job) {
                    Ok(running) => self.running.push(running),
                    Err(error) => failed = Err(error),
                }
                continue;
            }
            self.collect(&mut ended)?;
            if self.running.is_empty() && (stopping || waiting.peek().is_none()) {
                return failed;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Whether one more may start.
    fn has_room(&mut self) -> bool {
        if self.running.is_empty() {
            return true;
        }
        if self.running.len() >= self.most {
            return false;
        }
        let Some(system) = &mut self.system else { return true };
        let pids: Vec<Pid> = self.running.iter().map(|running| Pid::from_u32(running.child.id())).collect();
        let memory = ProcessRefreshKind::nothing().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, memory);
        let taken = pids.iter().filter_map(|&pid| Some(system.process(pid)?.memory()));
        self.taken = taken.fold(self.taken, u64::max);
        // Those that have just started have not taken theirs yet.
        let settled = self.running.iter().all(|running| running.since.elapsed() > SETTLING);
        system.refresh_memory();
        settled && system.available_memory() as f64 > ROOM * self.taken as f64
    }

    fn collect(&mut self, ended: &mut impl FnMut(&Job, ExitStatus)) -> Result<(), CliError> {
        let mut place = 0;
        while place < self.running.len() {
            match self.running[place].child.try_wait()? {
                Some(status) => {
                    let running = self.running.remove(place);
                    ended(&running.job, status);
                }
                None => place += 1,
            }
        }
        Ok(())
    }
}

/// A run that is dropped with its jobs under way leaves none behind.
impl Drop for Jobs {
    fn drop(&mut self) {
        for running in &mut self.running {
            let _gone = running.child.kill();
        }
    }
}

fn start(job: Job) -> Result<Running, CliError> {
    let log = fs::OpenOptions::new().create(true).append(true).open(&job.log)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(&job.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.into_file());
    // Ctrl-C on the terminal would reach the searches too, and a second signal stops them without saving.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    Ok(Running { child: command.spawn()?, job, since: Instant::now(), told_to_stop: false })
}

impl Running {
    /// Asks for a checkpoint and an end, once.
    fn tell_to_stop(&mut self) {
        if std::mem::replace(&mut self.told_to_stop, true) {
            return;
        }
        #[cfg(unix)]
        {
            use rustix::process::{Pid, Signal, kill_process};
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            // One that has just ended cannot be told any more.
            let _told = pid.map(|pid| kill_process(pid, Signal::INT));
        }
        // Elsewhere the last checkpoint has to do.
        #[cfg(not(unix))]
        let _gone = self.child.kill();
    }
}
