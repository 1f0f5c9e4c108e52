//! One capture at work: a thread that opens its interfaces and its files, follows the packets to the
//! end of the window, closes the files, and says how it went.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::capture::budget::{Budget, Share};
use crate::capture::device::{Device, Opening};
use crate::capture::feed::{Feed, totals};
use crate::capture::files::{Beginning, Described, Ended, Names, Series, Target, seal_leftovers};
use crate::capture::follow::{Closing, Follow};
use crate::capture::interface::{self, Interface, Service};
use crate::capture::line::Line;
use crate::capture::log::Log;
use crate::capture::reader::Reader;
use crate::capture::recorder::Recorder;
use crate::capture::tap::Tap;
use crate::capture::{Destination, Error, Origin, PrivateSettings, private, section};
use crate::clock::{self, WallTime};
use crate::filter::{self, LinkType, Program};
use crate::model::{
    CapturePlan, FileFormat, InterfaceTotals, Report, SealedFile, StopReason, Totals,
};

/// The compiled filter of each interface of a plan, in its order; none for one without a recorder.
type Programs = Vec<Option<Program>>;

/// What the captures of an engine share.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) spool: PathBuf,
    pub(super) recorders: Vec<Recorder>,
    pub(super) private: PrivateSettings,
    pub(super) budget: Arc<Budget>,
}

impl Surroundings {
    fn recorder(&self, interface: &str) -> Option<&Recorder> {
        self.recorders.iter().find(|recorder| recorder.interface() == interface)
    }
}

/// All that a capture needs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) line: Line,
    pub(super) name: String,
    pub(super) plan: CapturePlan,
    pub(super) origin: Origin,
    pub(super) around: Arc<Surroundings>,
}

/// How it ended.
#[derive(Debug)]
struct End {
    reason: StopReason,
    error: Option<String>,
    totals: Totals,
    interfaces: Vec<InterfaceTotals>,
}

impl End {
    fn failed(reason: StopReason, error: String) -> Self {
        let (totals, interfaces) = (Totals::default(), Vec::new());
        Self { reason, error: Some(error), totals, interfaces }
    }
}

impl Job {
    /// Runs the capture to its end, on the calling thread, once the word has come. Where nobody gives
    /// it any more, nothing happens.
    pub(super) fn run(self, destination: Destination, word: &Receiver<()>) {
        let in_spool = matches!(destination, Destination::Spool);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let programs = self.programs();
            word.recv().is_ok().then(|| self.take(programs?, destination)).transpose()
        }));
        let end = match outcome {
            Ok(Ok(None)) => return,
            Ok(Ok(Some(end))) => end,
            Ok(Err(error)) => End::failed(reason_of(&error), error.sentence()),
            // The panic's own text has gone to the log by then.
            Err(_panic) => self.salvage(in_spool),
        };
        self.line.tell(Report::Ended {
            capture: self.line.capture.clone(),
            reason: end.reason,
            error: end.error,
            totals: end.totals,
            interfaces: end.interfaces,
        });
    }

    /// After a panic: what had reached the disk is sealed as after a crash of the whole worker.
    fn salvage(&self, in_spool: bool) -> End {
        let error = "the capture failed inside; the log says where".to_owned();
        let mut end = End::failed(StopReason::Error, error);
        if in_spool {
            let files = seal_leftovers(&self.around.spool, &self.line.capture, &[]);
            end.totals.packets = files.iter().map(|file| file.packets).sum();
            end.totals.bytes = files.iter().map(|file| file.size_bytes).sum();
            self.tell_files(files);
        }
        end
    }

    fn take(&self, programs: Programs, destination: Destination) -> Result<End, Error> {
        let begun = clock::now();
        let mut feeds = self.feeds(programs)?;
        let oldest = feeds.iter().map(|feed| feed.tap().held_from()).min();
        let held_from = oldest.unwrap_or(begun.wall);
        let (mut series, _buffers) = self.series(&feeds, held_from, destination)?;
        let followed =
            Follow::new(&self.line, &self.plan, &mut feeds, &mut series, (begun, held_from)).run();
        let (reason, ended, lost) = match followed {
            Ok(Closing { reason, at, .. }) => {
                // A limit ends the window at a packet, not at an instant.
                if !matches!(reason, StopReason::BytesExceeded | StopReason::PacketsExceeded) {
                    feeds.iter_mut().for_each(Feed::close);
                }
                let now = clock::wall_time();
                let statistics: Vec<_> =
                    feeds.iter().map(|feed| feed.statistics(now, at)).collect();
                let is_lost = matches!(reason, StopReason::InterfaceLost | StopReason::Error);
                let lost = feeds.iter().filter(|_feed| is_lost).find_map(Feed::lost);
                (reason, series.end(&statistics), lost)
            }
            Err(error) => {
                feeds.iter_mut().for_each(Feed::close);
                (reason_of(&error), series.abandon(error), None)
            }
        };
        let end = self.conclude(reason, ended, lost, &feeds);
        feeds.into_iter().for_each(Feed::stop);
        Ok(end)
    }

    /// Tells the last files, and makes the sum.
    fn conclude(
        &self,
        reason: StopReason,
        Ended { files, sum, error }: Ended,
        lost: Option<Error>,
        feeds: &[Feed],
    ) -> End {
        let reason = error.as_ref().map_or(reason, reason_of);
        let mut totals = totals(feeds, sum.bytes);
        if error.is_some() {
            // What could not be written is in no file.
            totals.packets = sum.packets;
        }
        self.tell_files(files);
        let error = error.or(lost).map(|error| error.sentence());
        let interfaces = feeds.iter().map(Feed::totals).collect();
        End { reason, error, totals, interfaces }
    }

    fn tell_files(&self, files: Vec<SealedFile>) {
        for file in files {
            self.line.tell(Report::Sealed { capture: self.line.capture.clone(), file });
        }
    }

    /// Compiles the filter for each interface that is recorded; of others more has to be asked first.
    fn programs(&self) -> Result<Programs, Error> {
        let names = match self.origin {
            Origin::Interfaces => self.plan.interfaces.as_slice(),
            Origin::File(_) => &[],
        };
        let programs = names.iter().map(|name| {
            let recorder = self.around.recorder(name);
            recorder.map(|_recorder| self.program_of_recorded(name)).transpose()
        });
        programs.collect()
    }

    /// The recorder knows the interface, so that the kernel is asked about it only if the filter wants
    /// its addresses: whoever triggered the capture waits. One that is gone by now has its past, too.
    fn program_of_recorded(&self, name: &str) -> Result<Program, Error> {
        let local = if self.plan.filter.asks_for_local_addresses() {
            interface::find(name)?.addresses
        } else {
            Vec::new()
        };
        self.program(name, &local, LinkType::Ethernet)
    }

    fn feeds(&self, programs: Programs) -> Result<Vec<Feed>, Error> {
        if let Origin::File(path) = &self.origin {
            return Ok(vec![self.file(path)?]);
        }
        let numbered = (0_u32..).zip(self.plan.interfaces.iter().zip(programs));
        numbered.map(|(number, (name, program))| self.feed(number, name, program)).collect()
    }

    fn feed(&self, number: u32, name: &str, program: Option<Program>) -> Result<Feed, Error> {
        let (tap, program) = match self.around.recorder(name).zip(program) {
            Some((recorder, program)) => (self.reader(recorder.log()?, None), program),
            None => {
                let interface = interface::find(name)?;
                match interface.service {
                    Service::Ring { .. } => self.ring(&interface)?,
                    Service::Device => self.device(&interface)?,
                }
            }
        };
        Ok(Feed::new(number, name.to_owned(), tap, program))
    }

    fn ring(&self, interface: &Interface) -> Result<(Tap, Program), Error> {
        let Interface { name, addresses, .. } = interface;
        let program = self.program(name, addresses, LinkType::Ethernet)?;
        let request = private::request(name, &program, self.around.private);
        let recorder = Recorder::start(request, &self.around.budget, false)?;
        Ok((self.reader(recorder.log()?, Some(recorder)), program))
    }

    fn reader(&self, log: Arc<Log>, private: Option<Recorder>) -> Tap {
        let reader = Reader::new(log, self.plan.from(), self.line.bell());
        Tap::Ring { reader, private }
    }

    fn device(&self, interface: &Interface) -> Result<(Tap, Program), Error> {
        let Interface { name, addresses, .. } = interface;
        let around = &self.around;
        let opening = Opening::of_device(name, around.private, &around.budget)?;
        let program = self.program(name, addresses, opening.link_type())?;
        Ok((Tap::Device(self.begin(opening, &program)?), program))
    }

    /// A file tells nothing of the addresses of the host that captured it.
    fn file(&self, path: &Path) -> Result<Feed, Error> {
        let opening = Opening::of_file(path, &self.around.budget)?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let program = self.program(&name, &[], opening.link_type())?;
        Ok(Feed::new(0, name, Tap::Device(self.begin(opening, &program)?), program))
    }

    fn begin(&self, opening: Opening, program: &Program) -> Result<Device, Error> {
        opening.start(program.text(), self.plan.from(), self.line.bell())
    }

    fn program(&self, name: &str, local: &[IpAddr], link: LinkType) -> Result<Program, Error> {
        filter::compile(&self.plan.filter, local, link)
            .map_err(|source| Error::Filter { interface: name.to_owned(), source })
    }

    /// The files, and the memory of their buffers.
    fn series(
        &self,
        feeds: &[Feed],
        held_from: WallTime,
        destination: Destination,
    ) -> Result<(Series, Share), Error> {
        let plan = &self.plan;
        let format = plan.file.format;
        if format == FileFormat::Pcap && feeds.len() > 1 {
            return Err(Error::OneInterface { count: feeds.len() });
        }
        let described = |feed: &Feed| Described {
            name: feed.name().to_owned(),
            filter: feed.filter().to_owned(),
            link_type: feed.tap().link_type().in_files(),
        };
        let beginning = Beginning {
            format,
            comment: section::comment(
                &self.line.capture,
                &self.name,
                (plan, &self.origin),
                held_from,
            ),
            interfaces: feeds.iter().map(described).collect(),
            bytes_per_packet: plan.limits.bytes_per_packet,
        };
        let target = match destination {
            Destination::Spool => {
                let folder = self.around.spool.clone();
                let names = Names::Spool { folder, capture: self.line.capture.clone() };
                Target::Files { names, hashed: true }
            }
            Destination::Path(path) => Target::Files { names: Names::Path(path), hashed: false },
            Destination::Stream(file) => Target::Stream(file),
        };
        let block = feeds.iter().map(|feed| feed.tap().block_bytes()).max().unwrap_or(0);
        let buffers = Series::buffers_bytes(&target, &beginning, plan.file, block);
        let buffers = u64::try_from(buffers).unwrap_or(u64::MAX);
        let share = self.around.budget.take("the buffers of a capture", buffers)?;
        Ok((Series::begin(target, beginning, (plan.file, &plan.limits), block)?, share))
    }
}

/// The reason of a capture that an error ends.
fn reason_of(error: &Error) -> StopReason {
    if error.is_no_space() { StopReason::NoSpace } else { StopReason::Error }
}
