//! Everything that the program says to people, in English and Vietnamese.

use std::time::Duration;

use crate::SandboxError;
use crate::options::Step;

/// A language of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Vietnamese.
    Vietnamese,
}

impl Language {
    /// The languages' codes (ISO 639-1).
    pub const CODES: [&str; 2] = ["en", "vi"];

    /// The language of a code such as `vi`, or of a locale such as `vi_VN.UTF-8`.
    pub fn from_code(code: &str) -> Option<Self> {
        match code.get(..2)?.to_ascii_lowercase().as_str() {
            "en" => Some(Self::English),
            "vi" => Some(Self::Vietnamese),
            _ => None,
        }
    }

    /// The language of the environment: of `LC_ALL`, else `LC_MESSAGES`, else `LANG`; else English.
    pub fn from_environment() -> Self {
        ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .filter_map(|name| std::env::var(name).ok())
            .find(|value| !value.is_empty())
            .and_then(|locale| Self::from_code(&locale))
            .unwrap_or_default()
    }
}

/// Declares texts in both languages; those with parameters fill them in.
macro_rules! texts {
    ($($name:ident $(($($parameter:ident: $type:ty),+))? { en: $english:literal, vi: $vietnamese:literal })+) => {
        impl Language {
            $(pub(crate) fn $name(self $($(, $parameter: $type)+)?) -> String {
                match self {
                    Self::English => format!($english),
                    Self::Vietnamese => format!($vietnamese),
                }
            })+
        }
    };
}

texts! {
    // --help
    about {
        en: "A whole X-Road compatible ecosystem in one process: registry, trust services, security \
             servers and three members. Plays a story, has every exchange judged, and stays up.",
        vi: "Toàn bộ một hệ sinh thái tương thích X-Road trong một tiến trình: sổ đăng ký, dịch vụ tin \
             cậy, máy chủ bảo mật và ba thành viên. Diễn một câu chuyện, thẩm định mọi trao đổi, rồi \
             tiếp tục chạy."
    }
    load_about {
        en: "Drives real exchanges through both security servers and measures them",
        vi: "Chạy các trao đổi thật qua cả hai máy chủ bảo mật và đo chúng"
    }
    help_once {
        en: "Play the story once and exit: 0 only if every exchange is verified",
        vi: "Diễn câu chuyện một lần rồi thoát: 0 chỉ khi mọi trao đổi được xác minh"
    }
    help_evidence {
        en: "Write every exchange's containers, the verification configuration and the certificates there",
        vi: "Ghi vào đó các gói chứng cứ của mọi trao đổi, cấu hình xác minh và chứng thư"
    }
    help_data {
        en: "Keep everything there, and start from it again; without it a temporary folder",
        vi: "Giữ mọi thứ ở đó và khởi động lại từ đó; nếu không có thì dùng thư mục tạm"
    }
    help_port_base(default: u16) {
        en: "The first of 32 ports [default: {default}]",
        vi: "Cổng đầu tiên trong 32 cổng [mặc định: {default}]"
    }
    help_key {
        en: "The kind of the members' keys",
        vi: "Loại khóa của các thành viên"
    }
    help_language {
        en: "The program's language [default: that of LANG]",
        vi: "Ngôn ngữ của chương trình [mặc định: theo LANG]"
    }
    help_seconds { en: "How long to measure", vi: "Đo trong bao nhiêu giây" }
    help_warm_up { en: "How long to run before measuring", vi: "Chạy bao nhiêu giây trước khi đo" }
    help_connections { en: "How many connections at once", vi: "Số kết nối cùng lúc" }
    help_body {
        en: "How many bytes each answer has (1024; with soap-attachment, the attachments: 102400)",
        vi: "Mỗi câu trả lời có bao nhiêu byte (1024; với soap-attachment là tệp đính kèm: 102400)"
    }
    help_kind { en: "What kind of messages to send", vi: "Gửi loại thông điệp nào" }
    help_post {
        en: "Send POST requests with as many bytes, in place of GET requests",
        vi: "Gửi yêu cầu POST với cùng số byte, thay cho GET"
    }
    help_target {
        en: "Drive GET requests against this URL, and start no ecosystem",
        vi: "Gửi yêu cầu GET tới URL này, không khởi động hệ sinh thái"
    }
    help_json { en: "Print the figures as JSON", vi: "In số liệu dạng JSON" }
    help_help { en: "Print help", vi: "In trợ giúp" }
    help_version { en: "Print the version", vi: "In phiên bản" }

    // start
    step_temporary(path: &str) {
        en: "Everything is in {path}, a temporary folder, and goes with it. Keep it with --data DIR",
        vi: "Mọi thứ nằm trong {path}, một thư mục tạm, và mất cùng nó. Giữ lại bằng --data DIR"
    }
    step_kept(path: &str) { en: "Everything is kept in {path}", vi: "Mọi thứ được giữ trong {path}" }
    step_authorities {
        en: "Certification authority, OCSP responder, timestamping authority",
        vi: "Cơ quan chứng thực, dịch vụ OCSP, dịch vụ dấu thời gian"
    }
    step_systems { en: "Three information systems", vi: "Ba hệ thống thông tin" }
    step_keys(count: usize, kind: &str) {
        en: "{count} keys of kind {kind}",
        vi: "{count} khóa loại {kind}"
    }
    making_keys(made: usize, count: usize, kind: &str) {
        en: "{made} of {count} keys of kind {kind}",
        vi: "{made} trên {count} khóa loại {kind}"
    }
    step_certificates {
        en: "Certificates and configuration files",
        vi: "Chứng thư và tệp cấu hình"
    }
    step_registry {
        en: "Registry with members and servers, global configuration served",
        vi: "Sổ đăng ký có thành viên và máy chủ, phục vụ cấu hình toàn cục"
    }
    step_reopened { en: "Opened again as it was left", vi: "Mở lại như lúc dừng" }
    step_server(id: &str) {
        en: "Security server {id}",
        vi: "Máy chủ bảo mật {id}"
    }
    started(memory: &str) { en: "The ecosystem is up{memory}", vi: "Hệ sinh thái đã chạy{memory}" }
    memory(megabytes: u64) { en: ", in {megabytes} MB", vi: ", dùng {megabytes} MB" }
    story_played(count: usize) {
        en: "The portal has decided, after {count} exchanges",
        vi: "Cổng dịch vụ đã quyết định, sau {count} trao đổi"
    }
    story_judged(count: usize) {
        en: "{count} containers downloaded and judged",
        vi: "Đã tải về và thẩm định {count} gói chứng cứ"
    }

    // story
    column_who { en: "who asked", vi: "bên hỏi" }
    column_whom { en: "whom", vi: "bên được hỏi" }
    column_what { en: "what", vi: "hỏi gì" }
    column_id { en: "message id", vi: "mã thông điệp" }
    column_time { en: "ms", vi: "ms" }
    column_size { en: "bytes", vi: "byte" }
    column_verdict { en: "auditor's verdict", vi: "kết luận thẩm định" }
    verified(count: usize) {
        en: "valid: {count} of {count} containers",
        vi: "hợp lệ: {count} trên {count} gói"
    }
    not_verified(valid: usize, needed: usize) {
        en: "NOT PROVEN: {valid} of {needed} containers valid",
        vi: "KHÔNG CHỨNG MINH ĐƯỢC: {valid} trên {needed} gói hợp lệ"
    }
    refused(error: &str) { en: "REFUSED: {error}", vi: "BỊ TỪ CHỐI: {error}" }
    granted(name: &str, amount: &str, income: &str, year: u16) {
        en: "{name}: the portal grants {amount} VND a month; the parents' income in {year} was {income} VND.",
        vi: "{name}: cổng dịch vụ chấp thuận {amount} đồng mỗi tháng; thu nhập của cha mẹ năm {year} là {income} đồng."
    }
    not_granted(name: &str, income: &str, year: u16) {
        en: "{name}: no benefit; the parents' income in {year} was {income} VND.",
        vi: "{name}: không được trợ cấp; thu nhập của cha mẹ năm {year} là {income} đồng."
    }
    no_decision(why: &str) {
        en: "The portal could not decide: {why}",
        vi: "Cổng dịch vụ không quyết định được: {why}"
    }
    evidence_written(folder: &str) {
        en: "The evidence is in {folder}; its README.txt says how to check it with other tools.",
        vi: "Chứng cứ nằm trong {folder}; tệp README.txt ở đó chỉ cách kiểm tra bằng công cụ khác."
    }
    all_verified {
        en: "Every exchange is verified.",
        vi: "Mọi trao đổi đều được xác minh."
    }
    some_not_verified {
        en: "Not every exchange is verified.",
        vi: "Không phải mọi trao đổi đều được xác minh."
    }

    // what to do next
    try_it { en: "Try it:", vi: "Hãy thử:" }
    try_portal { en: "the portal decides about a child", vi: "cổng dịch vụ quyết định về một trẻ em" }
    try_person { en: "the population register, through both servers", vi: "sổ dân cư, qua cả hai máy chủ" }
    try_income { en: "the tax authority, with a body", vi: "cơ quan thuế, kèm nội dung" }
    try_disabled { en: "a service that is disabled", vi: "một dịch vụ bị tắt" }
    try_forbidden { en: "a service that the portal may not use", vi: "một dịch vụ cổng không được dùng" }
    try_evidence { en: "evidence, and its judgement", vi: "chứng cứ và thẩm định" }
    addresses { en: "Addresses:", vi: "Địa chỉ:" }
    address_portal { en: "portal", vi: "cổng dịch vụ" }
    address_conf { en: "global configuration", vi: "cấu hình toàn cục" }
    address_ocsp { en: "OCSP responder", vi: "dịch vụ OCSP" }
    address_tsa { en: "timestamping authority", vi: "dịch vụ dấu thời gian" }
    address_server(id: &str) { en: "{id}, for information systems", vi: "{id}, cho hệ thống thông tin" }
    address_health(id: &str) { en: "{id}, health and metrics", vi: "{id}, tình trạng và số liệu" }
    address_file(id: &str) { en: "{id}, configuration file", vi: "{id}, tệp cấu hình" }
    address_log { en: "log", vi: "nhật ký" }
    stays_up { en: "Stop with Ctrl-C.", vi: "Dừng bằng Ctrl-C." }
    stopping { en: "Stopping: what is in flight is finished.", vi: "Đang dừng: hoàn tất những gì đang chạy." }

    // load
    loading(seconds: &str, connections: usize) {
        en: "Measuring for {seconds} s over {connections} connections",
        vi: "Đo trong {seconds} giây qua {connections} kết nối"
    }
    load_rate { en: "exchanges a second", vi: "trao đổi mỗi giây" }
    load_count { en: "exchanges", vi: "số trao đổi" }
    load_failed { en: "failed", vi: "thất bại" }
    load_latency { en: "p50 / p99 / p99.9 / max, ms", vi: "p50 / p99 / p99.9 / lớn nhất, ms" }
    load_cpu { en: "processor time an exchange, ms", vi: "thời gian bộ xử lý mỗi trao đổi, ms" }
    load_driver { en: "of it the driver's", vi: "trong đó của bộ tạo tải" }
    load_memory { en: "resident memory / its peak, MB", vi: "bộ nhớ thường trú / cao nhất, MB" }
    load_body { en: "bytes of an answer", vi: "số byte mỗi câu trả lời" }

    // errors
    failed(why: &str) { en: "sandbox: {why}", vi: "sandbox: {why}" }
    seconds_text(seconds: &str) { en: "{seconds} s", vi: "{seconds} giây" }
    port_in_use(address: &str) {
        en: "{address} is in use: another sandbox may run. Choose other ports, such as --port-base 18000.",
        vi: "{address} đang được dùng: có thể một sandbox khác đang chạy. Chọn cổng khác, ví dụ --port-base 18000."
    }
    no_address(address: &str, why: &str) {
        en: "cannot listen on {address} ({why}). On macOS make the address with: sudo ifconfig lo0 alias 127.0.0.2",
        vi: "không thể lắng nghe trên {address} ({why}). Trên macOS hãy tạo địa chỉ: sudo ifconfig lo0 alias 127.0.0.2"
    }
    not_a_sandbox(path: &str) {
        en: "{path} is not empty, and not the folder of a sandbox that was set up to its end. Name another folder, or remove it.",
        vi: "{path} không trống và không phải thư mục của một sandbox đã thiết lập xong. Hãy chọn thư mục khác hoặc xóa nó."
    }
    being_made(path: &str) {
        en: "Another sandbox is setting itself up in {path}. Wait for it, or name another folder.",
        vi: "Một sandbox khác đang thiết lập trong {path}. Hãy chờ nó hoặc chọn thư mục khác."
    }
    made_otherwise(path: &str, option: &str, was: &str, asked: &str) {
        en: "{path} was made with {option} {was}, not {asked}. Say {option} {was}, or name another folder.",
        vi: "{path} được tạo với {option} {was}, không phải {asked}. Hãy dùng {option} {was} hoặc chọn thư mục khác."
    }
}

impl Language {
    /// What a step of the start is called.
    pub(crate) fn step(self, step: &Step) -> String {
        match step {
            Step::Folder(path, true) => self.step_temporary(&path.display().to_string()),
            Step::Folder(path, false) => self.step_kept(&path.display().to_string()),
            Step::Authorities => self.step_authorities(),
            Step::Systems => self.step_systems(),
            Step::Keys(count, kind) => self.step_keys(*count, &kind.to_string()),
            Step::Certificates => self.step_certificates(),
            Step::Registry => self.step_registry(),
            Step::Reopened => self.step_reopened(),
            Step::Server(id) => self.step_server(id),
        }
    }

    /// An error, with a way out where there is one.
    pub(crate) fn error(self, error: &SandboxError) -> String {
        match error {
            SandboxError::PortInUse { address } => self.port_in_use(&address.to_string()),
            SandboxError::NoAddress { address, error } => {
                self.no_address(&address.to_string(), &error.to_string())
            }
            SandboxError::NotASandbox(path) => self.not_a_sandbox(&path.display().to_string()),
            SandboxError::BeingMade(path) => self.being_made(&path.display().to_string()),
            SandboxError::MadeOtherwise { folder, option, was, asked } => {
                self.made_otherwise(&folder.display().to_string(), option, was, asked)
            }
            other => other.to_string(),
        }
    }

    /// A duration in seconds.
    pub(crate) fn seconds(self, time: Duration) -> String {
        let seconds = format!("{:.2}", time.as_secs_f64());
        self.seconds_text(&self.decimal(&seconds))
    }

    /// A figure with the language's own decimal mark.
    pub(crate) fn decimal(self, figure: &str) -> String {
        match self {
            Self::English => figure.to_owned(),
            Self::Vietnamese => figure.replace('.', ","),
        }
    }

    /// A whole number with the language's own mark between thousands.
    pub(crate) fn number(self, number: u64) -> String {
        let mark = match self {
            Self::English => ',',
            Self::Vietnamese => '.',
        };
        let digits = number.to_string();
        let mut text = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(mark);
            }
            text.push(digit);
        }
        text
    }

    /// The text that goes along with evidence.
    pub(crate) fn evidence_readme(self) -> &'static str {
        match self {
            Self::English => include_str!("evidence/readme.en.txt"),
            Self::Vietnamese => include_str!("evidence/readme.vi.txt"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_found() {
        assert_eq!(Language::from_code("vi_VN.UTF-8"), Some(Language::Vietnamese));
        assert_eq!(Language::from_code("en"), Some(Language::English));
        assert_eq!(Language::from_code("C"), None);
        assert_eq!(Language::from_code("é"), None);
        assert!(Language::CODES.iter().all(|code| Language::from_code(code).is_some()));
    }

    #[test]
    fn figures_are_written_as_the_language_does() {
        let (english, vietnamese) = (Language::English, Language::Vietnamese);
        assert_eq!(english.number(1_234_567), "1,234,567");
        assert_eq!(vietnamese.number(309_500_000), "309.500.000");
        assert_eq!((english.number(0), english.number(999)), ("0".into(), "999".into()));
        assert_eq!(vietnamese.seconds(Duration::from_millis(1234)), "1,23 giây");
    }
}
