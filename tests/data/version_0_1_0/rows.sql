BEGIN TRANSACTION;
CREATE TABLE accounts (
	id INTEGER NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	webhook_secret VARCHAR(100) NOT NULL, 
	idempotent BOOLEAN NOT NULL, 
	auto_extend BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, disabled_at DATETIME, deleted_at DATETIME, password VARCHAR(200), requests_per_second DOUBLE, waiting_jobs INTEGER, stored_mb INTEGER, face_crop BOOLEAN DEFAULT 0 NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "accounts" VALUES(1,'owner','whsec_h2Fc247rT473tyhewSRjn4Lpdr9phDCOrsbT4OJW2AI=',0,0,'2026-12-01 06:33:21.393813',NULL,NULL,NULL,NULL,NULL,NULL,0);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0009');
CREATE TABLE api_keys (
	id INTEGER NOT NULL, 
	account_id INTEGER NOT NULL, 
	prefix VARCHAR(16) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	label VARCHAR(100) NOT NULL, 
	created_at DATETIME NOT NULL, 
	revoked_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(account_id) REFERENCES accounts (id), 
	UNIQUE (prefix)
);
INSERT INTO "api_keys" VALUES(1,1,'sd_abcdefghi','9893166319296085de62a50d40a9197076f0a5e1af8cba4c5f05581da4631d41','first','2026-12-01 06:33:21.441515',NULL);
CREATE TABLE application_versions (
    version_id TEXT NOT NULL PRIMARY KEY,
    version_name TEXT NOT NULL UNIQUE,
    version_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    created_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
, "application_name" TEXT DEFAULT NULL);
INSERT INTO "application_versions" VALUES('e4341696-3b5c-421e-8550-9be78352dd1c','1',1796106802000,1796106802000,'fluxbooth');
CREATE TABLE callbacks (
	id VARCHAR(40) NOT NULL, 
	account_id INTEGER NOT NULL, 
	tune_id INTEGER, 
	prompt_id INTEGER, 
	url TEXT NOT NULL, 
	body TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	last_error TEXT, 
	created_at DATETIME NOT NULL, 
	delivered_at DATETIME, 
	failed_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(account_id) REFERENCES accounts (id), 
	FOREIGN KEY(prompt_id) REFERENCES prompts (id), 
	FOREIGN KEY(tune_id) REFERENCES tunes (id)
);
CREATE TABLE checkpoints (
	id INTEGER NOT NULL, 
	tune_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	lora TEXT, 
	bytes BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(tune_id) REFERENCES tunes (id), 
	UNIQUE (tune_id, step)
);
INSERT INTO "checkpoints" VALUES(1,5000000,0,NULL,0);
CREATE TABLE dbos_migrations (version INTEGER NOT NULL PRIMARY KEY);
INSERT INTO "dbos_migrations" VALUES(125);
CREATE TABLE idempotency (
	id INTEGER NOT NULL, 
	account_id INTEGER NOT NULL, 
	"key" VARCHAR(255) NOT NULL, 
	request VARCHAR(64) NOT NULL, 
	status INTEGER, 
	body TEXT, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(account_id) REFERENCES accounts (id), 
	UNIQUE (account_id, "key")
);
CREATE TABLE images (
	id INTEGER NOT NULL, 
	prompt_id INTEGER NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	"key" TEXT NOT NULL, 
	seed INTEGER NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	recipe JSON NOT NULL, bytes BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(prompt_id) REFERENCES prompts (id), 
	UNIQUE (name)
);
CREATE TABLE ledger (
	id INTEGER NOT NULL, 
	account_id INTEGER NOT NULL, 
	job VARCHAR(100) NOT NULL, 
	kind VARCHAR(10) NOT NULL, 
	amount_mc BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(account_id) REFERENCES accounts (id), 
	UNIQUE (job, kind)
);
INSERT INTO "ledger" VALUES(1,1,'credit-2c2dea357e67923d','credit',500000,'2026-12-01 06:33:30.049765');
INSERT INTO "ledger" VALUES(2,1,'tune-5000000','hold',-120,'2026-12-01 06:33:30.438361');
INSERT INTO "ledger" VALUES(3,1,'tune-5000001','hold',-40,'2026-12-01 06:33:30.633292');
INSERT INTO "ledger" VALUES(4,1,'prompt-1','hold',-1000,'2026-12-01 06:33:30.659110');
INSERT INTO "ledger" VALUES(5,1,'prompt-2','hold',-1000,'2026-12-01 06:33:30.674298');
CREATE TABLE links (
	id INTEGER NOT NULL, 
	account_id INTEGER NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	expires_at DATETIME NOT NULL, 
	used_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(account_id) REFERENCES accounts (id), 
	UNIQUE (digest)
);
INSERT INTO "links" VALUES(1,1,'091fa6146ed441005dc92a1233d00c3c7abab80ed53cf74693ff0caf36e6afd3','2026-12-02 06:33:21.442912',NULL);
CREATE TABLE notifications (
    message_uuid TEXT NOT NULL DEFAULT (hex(randomblob(16))) PRIMARY KEY,
    destination_uuid TEXT NOT NULL,
    topic TEXT,
    message TEXT NOT NULL,
    created_at_epoch_ms INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000), "serialization" TEXT DEFAULT NULL, "consumed" BOOLEAN NOT NULL DEFAULT FALSE, consumed_by_function_id INTEGER,
    FOREIGN KEY (destination_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE "operation_outputs" (
    workflow_uuid TEXT NOT NULL,
    function_id INTEGER NOT NULL,
    function_name TEXT NOT NULL DEFAULT '',
    output TEXT,
    error TEXT,
    child_workflow_id TEXT,
    started_at_epoch_ms INTEGER,
    completed_at_epoch_ms INTEGER,
    serialization TEXT,
    application_name TEXT DEFAULT NULL,
    retention_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    PRIMARY KEY (workflow_uuid, function_id)
);
CREATE TABLE "orders" (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	account_id INTEGER NOT NULL, 
	pack_id INTEGER, 
	callback TEXT, 
	called_at DATETIME, 
	created_at DATETIME NOT NULL, 
	FOREIGN KEY(account_id) REFERENCES accounts (id), 
	FOREIGN KEY(pack_id) REFERENCES packs (id)
);
CREATE TABLE packs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	account_id INTEGER NOT NULL, 
	slug VARCHAR(100) NOT NULL, 
	title TEXT NOT NULL, 
	subtitle TEXT NOT NULL, 
	base_tune_id INTEGER NOT NULL, 
	model_type VARCHAR(20) NOT NULL, 
	token VARCHAR(40) NOT NULL, 
	preset VARCHAR(40), 
	cover TEXT, 
	public_at DATETIME, 
	unlisted_at DATETIME, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	FOREIGN KEY(account_id) REFERENCES accounts (id), 
	UNIQUE (slug)
);
INSERT INTO "packs" VALUES(1,1,'corporate','Corporate headshots','For a company page, a profile, a badge',1504944,'lora','ohwx','flux-lora-portrait','/app/static/covers/corporate.webp','2026-12-01 06:33:21.394327',NULL,'2026-12-01 06:33:21.395328','2026-12-01 06:33:21.395330');
INSERT INTO "packs" VALUES(2,1,'outdoor','Outdoor','Daylight, air and a little wind',1504944,'lora','ohwx','flux-lora-portrait','/app/static/covers/outdoor.webp','2026-12-01 06:33:21.403441',NULL,'2026-12-01 06:33:21.403669','2026-12-01 06:33:21.403671');
INSERT INTO "packs" VALUES(3,1,'studio-black-and-white','Studio, black and white','One light, one wall, a face',1504944,'lora','ohwx','flux-lora-portrait','/app/static/covers/studio-black-and-white.webp','2026-12-01 06:33:21.409797',NULL,'2026-12-01 06:33:21.409946','2026-12-01 06:33:21.409948');
INSERT INTO "packs" VALUES(4,1,'casual','Casual','Everyday clothes, everyday places',1504944,'lora','ohwx','flux-lora-portrait','/app/static/covers/casual.webp','2026-12-01 06:33:21.415100',NULL,'2026-12-01 06:33:21.415247','2026-12-01 06:33:21.415248');
INSERT INTO "packs" VALUES(5,1,'creative','Creative','Paint, neon, paper and dreams',1504944,'lora','ohwx','flux-lora-portrait','/app/static/covers/creative.webp','2026-12-01 06:33:21.421293',NULL,'2026-12-01 06:33:21.421439','2026-12-01 06:33:21.421440');
INSERT INTO "packs" VALUES(6,1,'holiday','Holiday','Snow, candles and far beaches',1504944,'lora','ohwx','flux-lora-portrait','/app/static/covers/holiday.webp','2026-12-01 06:33:21.427631',NULL,'2026-12-01 06:33:21.427783','2026-12-01 06:33:21.427784');
INSERT INTO "packs" VALUES(7,1,'pets','Pets','Dogs and cats at their best',1504944,'lora','ohwx','flux-lora-portrait','/app/static/covers/pets.webp','2026-12-01 06:33:21.433742',NULL,'2026-12-01 06:33:21.433888','2026-12-01 06:33:21.433890');
INSERT INTO "packs" VALUES(8,1,'products','Products','For a shop window or a catalogue',1504944,'lora','ohwx','flux-lora-portrait','/app/static/covers/products.webp','2026-12-01 06:33:21.437942',NULL,'2026-12-01 06:33:21.438089','2026-12-01 06:33:21.438091');
CREATE TABLE photos (
	id INTEGER NOT NULL, 
	tune_id INTEGER NOT NULL, 
	filename VARCHAR(200) NOT NULL, 
	url TEXT, 
	"key" TEXT, bytes BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(tune_id) REFERENCES tunes (id)
);
INSERT INTO "photos" VALUES(1,5000000,'photo-01.png',NULL,'tunes/5000000/photos/000.png',16093);
INSERT INTO "photos" VALUES(2,5000000,'photo-02.png',NULL,'tunes/5000000/photos/001.png',18348);
INSERT INTO "photos" VALUES(3,5000000,'photo-03.png',NULL,'tunes/5000000/photos/002.png',15110);
INSERT INTO "photos" VALUES(4,5000000,'photo-04.png',NULL,'tunes/5000000/photos/003.png',18554);
INSERT INTO "photos" VALUES(5,5000001,'photo-01.png',NULL,'tunes/5000001/photos/000.png',16093);
INSERT INTO "photos" VALUES(6,5000001,'photo-02.png',NULL,'tunes/5000001/photos/001.png',18348);
INSERT INTO "photos" VALUES(7,5000001,'photo-03.png',NULL,'tunes/5000001/photos/002.png',15110);
INSERT INTO "photos" VALUES(8,5000001,'photo-04.png',NULL,'tunes/5000001/photos/003.png',18554);
CREATE TABLE prompts (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	account_id INTEGER NOT NULL, 
	tune_id INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	callback TEXT, 
	num_images INTEGER NOT NULL, 
	fields JSON NOT NULL, 
	spec JSON NOT NULL, 
	advice JSON NOT NULL, 
	signature VARCHAR(64) NOT NULL, 
	deaths INTEGER NOT NULL, 
	liked BOOLEAN NOT NULL, 
	enqueued BOOLEAN NOT NULL, 
	user_error TEXT, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	started_training_at DATETIME, 
	trained_at DATETIME, 
	deleted_at DATETIME, pack_id INTEGER, base_pack_id INTEGER, orig_prompt_id INTEGER, order_id INTEGER, likes INTEGER DEFAULT '0' NOT NULL, cost_mc BIGINT DEFAULT '0' NOT NULL, input_bytes BIGINT DEFAULT '0' NOT NULL, 
	FOREIGN KEY(account_id) REFERENCES accounts (id)
);
INSERT INTO "prompts" VALUES(1,1,1504944,'a man in a forest 0',NULL,1,'{"seed": 0, "steps": 4}','{"base": "nano", "loras": [], "num_images": 1, "seed": 0, "steps": 4, "guidance": 3.5, "speed": "exact", "quantisation": "auto", "dtype": "auto", "encoders": "auto"}','[]','ff1205e652c71717ee0ff7be52b1b815551dac8497016efd65baf2628edeb554',0,0,1,NULL,'2026-12-01 06:33:30.656048','2026-12-01 06:33:30.660392',NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,1000,0);
INSERT INTO "prompts" VALUES(2,1,1504944,'a man in a forest 1',NULL,1,'{"seed": 1, "steps": 4}','{"base": "nano", "loras": [], "num_images": 1, "seed": 1, "steps": 4, "guidance": 3.5, "speed": "exact", "quantisation": "auto", "dtype": "auto", "encoders": "auto"}','[]','d2ab0eb1e9b63eb69a7a7e7afe9c5cc91ba1bfef116f58d958a5811ba38ce626',0,0,1,NULL,'2026-12-01 06:33:30.672210','2026-12-01 06:33:30.675017',NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,1000,0);
CREATE TABLE queues (
    queue_id TEXT PRIMARY KEY DEFAULT (hex(randomblob(16))),
    name TEXT NOT NULL UNIQUE,
    concurrency INTEGER,
    worker_concurrency INTEGER,
    rate_limit_max INTEGER,
    rate_limit_period_sec REAL,
    priority_enabled BOOLEAN NOT NULL DEFAULT FALSE,
    partition_queue BOOLEAN NOT NULL DEFAULT FALSE,
    polling_interval_sec REAL NOT NULL DEFAULT 1.0,
    created_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    updated_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
, "application_name" TEXT DEFAULT NULL, "partition_concurrency" INTEGER DEFAULT NULL, "partition_worker_concurrency" INTEGER DEFAULT NULL, "partition_rate_limit_max" INTEGER DEFAULT NULL, "partition_rate_limit_period_sec" REAL DEFAULT NULL);
INSERT INTO "queues" VALUES('B48974BD3759D3CF9578A82CD1BBFE10','device',NULL,1,NULL,NULL,1,0,0.2,1796106802000,1796106802448,'fluxbooth',NULL,NULL,NULL,NULL);
INSERT INTO "queues" VALUES('892A1B61DED703394C6058975B6FDD33','delivery',NULL,20,NULL,NULL,1,0,0.5,1796106802000,1796106802457,'fluxbooth',NULL,NULL,NULL,NULL);
CREATE TABLE samples (
	id INTEGER NOT NULL, 
	checkpoint_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	bytes BIGINT DEFAULT '0' NOT NULL, 
	likeness DOUBLE, 
	PRIMARY KEY (id), 
	FOREIGN KEY(checkpoint_id) REFERENCES checkpoints (id), 
	UNIQUE (checkpoint_id, number)
);
INSERT INTO "samples" VALUES(1,1,0,'ohwx man at the beach','tunes/5000000/samples/000000-0.jpg',4186,NULL);
INSERT INTO "samples" VALUES(2,1,1,'ohwx man in a city at night','tunes/5000000/samples/000000-1.jpg',5358,NULL);
INSERT INTO "samples" VALUES(3,1,2,'ohwx man in snowy mountains','tunes/5000000/samples/000000-2.jpg',4116,NULL);
CREATE TABLE streams (
    workflow_uuid TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    "offset" INTEGER NOT NULL, function_id INTEGER NOT NULL DEFAULT 0, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, key, "offset"),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE templates (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	pack_id INTEGER NOT NULL, 
	class_name VARCHAR(60) NOT NULL, 
	token VARCHAR(40) NOT NULL, 
	tune_id INTEGER, 
	text TEXT NOT NULL, 
	num_images INTEGER NOT NULL, 
	fields JSON NOT NULL, 
	likes INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, position INTEGER DEFAULT '0' NOT NULL, 
	FOREIGN KEY(pack_id) REFERENCES packs (id)
);
INSERT INTO "templates" VALUES(1000000000,1,'man','ohwx',NULL,'ohwx man in a charcoal suit and open white shirt, head and shoulders, friendly direct gaze, plain light grey wall, soft window light from the left, business portrait photograph',1,'{}',0,'2026-12-01 06:33:21.396745',0);
INSERT INTO "templates" VALUES(1000000001,1,'man','ohwx',NULL,'ohwx man in a navy blazer, standing in a bright open-plan office with arms folded, desks and plants softly out of focus behind, morning daylight, photograph at eye level',1,'{}',0,'2026-12-01 06:33:21.397379',0);
INSERT INTO "templates" VALUES(1000000002,1,'man','ohwx',NULL,'ohwx man in a fine-knit dark sweater, seated at a meeting table with a closed laptop, relaxed smile, glass wall behind, even daylight, waist-up photograph',1,'{}',0,'2026-12-01 06:33:21.397804',0);
INSERT INTO "templates" VALUES(1000000003,1,'man','ohwx',NULL,'ohwx man in a white shirt, close portrait against a deep blue studio backdrop, one large softbox from the right, calm expression, crisp eyes',1,'{}',0,'2026-12-01 06:33:21.398189',0);
INSERT INTO "templates" VALUES(1000000004,1,'man','ohwx',NULL,'ohwx man in a beige jacket, walking along a modern office corridor with a notebook, wooden panels, warm ceiling light, natural stride, photograph',1,'{}',0,'2026-12-01 06:33:21.398562',0);
INSERT INTO "templates" VALUES(1000000005,1,'man','ohwx',NULL,'ohwx man speaking on a small stage, dark blazer, microphone headset, one hand raised, audience in the foreground as soft shapes, warm spotlight',1,'{}',0,'2026-12-01 06:33:21.398958',0);
INSERT INTO "templates" VALUES(1000000006,1,'woman','ohwx',NULL,'ohwx woman in a charcoal suit and open white shirt, head and shoulders, friendly direct gaze, plain light grey wall, soft window light from the left, business portrait photograph',1,'{}',0,'2026-12-01 06:33:21.399337',0);
INSERT INTO "templates" VALUES(1000000007,1,'woman','ohwx',NULL,'ohwx woman in a navy blazer, standing in a bright open-plan office with arms folded, desks and plants softly out of focus behind, morning daylight, photograph at eye level',1,'{}',0,'2026-12-01 06:33:21.399765',0);
INSERT INTO "templates" VALUES(1000000008,1,'woman','ohwx',NULL,'ohwx woman in a fine-knit dark sweater, seated at a meeting table with a closed laptop, relaxed smile, glass wall behind, even daylight, waist-up photograph',1,'{}',0,'2026-12-01 06:33:21.400148',0);
INSERT INTO "templates" VALUES(1000000009,1,'woman','ohwx',NULL,'ohwx woman in a white shirt, close portrait against a deep blue studio backdrop, one large softbox from the right, calm expression, crisp eyes',1,'{}',0,'2026-12-01 06:33:21.400512',0);
INSERT INTO "templates" VALUES(1000000010,1,'woman','ohwx',NULL,'ohwx woman in a beige jacket, walking along a modern office corridor with a notebook, wooden panels, warm ceiling light, natural stride, photograph',1,'{}',0,'2026-12-01 06:33:21.400858',0);
INSERT INTO "templates" VALUES(1000000011,1,'woman','ohwx',NULL,'ohwx woman speaking on a small stage, dark blazer, microphone headset, one hand raised, audience in the foreground as soft shapes, warm spotlight',1,'{}',0,'2026-12-01 06:33:21.401193',0);
INSERT INTO "templates" VALUES(1000000012,1,'person','ohwx',NULL,'ohwx person in a charcoal suit and open white shirt, head and shoulders, friendly direct gaze, plain light grey wall, soft window light from the left, business portrait photograph',1,'{}',0,'2026-12-01 06:33:21.401528',0);
INSERT INTO "templates" VALUES(1000000013,1,'person','ohwx',NULL,'ohwx person in a navy blazer, standing in a bright open-plan office with arms folded, desks and plants softly out of focus behind, morning daylight, photograph at eye level',1,'{}',0,'2026-12-01 06:33:21.401861',0);
INSERT INTO "templates" VALUES(1000000014,1,'person','ohwx',NULL,'ohwx person in a fine-knit dark sweater, seated at a meeting table with a closed laptop, relaxed smile, glass wall behind, even daylight, waist-up photograph',1,'{}',0,'2026-12-01 06:33:21.402188',0);
INSERT INTO "templates" VALUES(1000000015,1,'person','ohwx',NULL,'ohwx person in a white shirt, close portrait against a deep blue studio backdrop, one large softbox from the right, calm expression, crisp eyes',1,'{}',0,'2026-12-01 06:33:21.402512',0);
INSERT INTO "templates" VALUES(1000000016,1,'person','ohwx',NULL,'ohwx person in a beige jacket, walking along a modern office corridor with a notebook, wooden panels, warm ceiling light, natural stride, photograph',1,'{}',0,'2026-12-01 06:33:21.402893',0);
INSERT INTO "templates" VALUES(1000000017,1,'person','ohwx',NULL,'ohwx person speaking on a small stage, dark blazer, microphone headset, one hand raised, audience in the foreground as soft shapes, warm spotlight',1,'{}',0,'2026-12-01 06:33:21.403245',0);
INSERT INTO "templates" VALUES(1000000018,2,'man','ohwx',NULL,'ohwx man on a mountain path in a rust-red rain jacket, green valley behind, low clouds lifting, hair moved by the wind, photograph in early light',1,'{}',0,'2026-12-01 06:33:21.403990',0);
INSERT INTO "templates" VALUES(1000000019,2,'man','ohwx',NULL,'ohwx man at a rocky seashore in a thick cream sweater, waves breaking behind, golden evening sun on the face, waist-up photograph',1,'{}',0,'2026-12-01 06:33:21.404328',0);
INSERT INTO "templates" VALUES(1000000020,2,'man','ohwx',NULL,'ohwx man in a denim jacket leaning on a wooden fence, wheat field to the horizon, late summer sun behind, warm rim of light',1,'{}',0,'2026-12-01 06:33:21.404662',0);
INSERT INTO "templates" VALUES(1000000021,2,'man','ohwx',NULL,'ohwx man in a pine forest with a small backpack, shafts of sun through mist, looking upwards, photograph with deep greens',1,'{}',0,'2026-12-01 06:33:21.404985',0);
INSERT INTO "templates" VALUES(1000000022,2,'man','ohwx',NULL,'ohwx man riding a city bicycle along a canal, light blue shirt, spring trees in blossom, clear noon light, sense of movement',1,'{}',0,'2026-12-01 06:33:21.405309',0);
INSERT INTO "templates" VALUES(1000000023,2,'man','ohwx',NULL,'ohwx man beside a camp fire at dusk, checked wool blanket round the shoulders, orange glow on the face, dark blue lake behind',1,'{}',0,'2026-12-01 06:33:21.405631',0);
INSERT INTO "templates" VALUES(1000000024,2,'woman','ohwx',NULL,'ohwx woman on a mountain path in a rust-red rain jacket, green valley behind, low clouds lifting, hair moved by the wind, photograph in early light',1,'{}',0,'2026-12-01 06:33:21.405957',0);
INSERT INTO "templates" VALUES(1000000025,2,'woman','ohwx',NULL,'ohwx woman at a rocky seashore in a thick cream sweater, waves breaking behind, golden evening sun on the face, waist-up photograph',1,'{}',0,'2026-12-01 06:33:21.406282',0);
INSERT INTO "templates" VALUES(1000000026,2,'woman','ohwx',NULL,'ohwx woman in a denim jacket leaning on a wooden fence, wheat field to the horizon, late summer sun behind, warm rim of light',1,'{}',0,'2026-12-01 06:33:21.406605',0);
INSERT INTO "templates" VALUES(1000000027,2,'woman','ohwx',NULL,'ohwx woman in a pine forest with a small backpack, shafts of sun through mist, looking upwards, photograph with deep greens',1,'{}',0,'2026-12-01 06:33:21.406928',0);
INSERT INTO "templates" VALUES(1000000028,2,'woman','ohwx',NULL,'ohwx woman riding a city bicycle along a canal, light blue shirt, spring trees in blossom, clear noon light, sense of movement',1,'{}',0,'2026-12-01 06:33:21.407251',0);
INSERT INTO "templates" VALUES(1000000029,2,'woman','ohwx',NULL,'ohwx woman beside a camp fire at dusk, checked wool blanket round the shoulders, orange glow on the face, dark blue lake behind',1,'{}',0,'2026-12-01 06:33:21.407655',0);
INSERT INTO "templates" VALUES(1000000030,2,'person','ohwx',NULL,'ohwx person on a mountain path in a rust-red rain jacket, green valley behind, low clouds lifting, hair moved by the wind, photograph in early light',1,'{}',0,'2026-12-01 06:33:21.408002',0);
INSERT INTO "templates" VALUES(1000000031,2,'person','ohwx',NULL,'ohwx person at a rocky seashore in a thick cream sweater, waves breaking behind, golden evening sun on the face, waist-up photograph',1,'{}',0,'2026-12-01 06:33:21.408335',0);
INSERT INTO "templates" VALUES(1000000032,2,'person','ohwx',NULL,'ohwx person in a denim jacket leaning on a wooden fence, wheat field to the horizon, late summer sun behind, warm rim of light',1,'{}',0,'2026-12-01 06:33:21.408660',0);
INSERT INTO "templates" VALUES(1000000033,2,'person','ohwx',NULL,'ohwx person in a pine forest with a small backpack, shafts of sun through mist, looking upwards, photograph with deep greens',1,'{}',0,'2026-12-01 06:33:21.408981',0);
INSERT INTO "templates" VALUES(1000000034,2,'person','ohwx',NULL,'ohwx person riding a city bicycle along a canal, light blue shirt, spring trees in blossom, clear noon light, sense of movement',1,'{}',0,'2026-12-01 06:33:21.409305',0);
INSERT INTO "templates" VALUES(1000000035,2,'person','ohwx',NULL,'ohwx person beside a camp fire at dusk, checked wool blanket round the shoulders, orange glow on the face, dark blue lake behind',1,'{}',0,'2026-12-01 06:33:21.409627',0);
INSERT INTO "templates" VALUES(1000000036,3,'man','ohwx',NULL,'ohwx man in a black roll-neck, black and white studio portrait, one hard light from the side, half of the face in shadow, dark background, fine grain',1,'{}',0,'2026-12-01 06:33:21.410249',0);
INSERT INTO "templates" VALUES(1000000037,3,'man','ohwx',NULL,'ohwx man in a white shirt with rolled sleeves, black and white studio photograph, seated on a wooden stool, plain white wall, soft even light',1,'{}',0,'2026-12-01 06:33:21.410575',0);
INSERT INTO "templates" VALUES(1000000038,3,'man','ohwx',NULL,'ohwx man laughing with closed eyes, black and white close portrait, grey seamless paper, large soft light from above',1,'{}',0,'2026-12-01 06:33:21.410917',0);
INSERT INTO "templates" VALUES(1000000039,3,'man','ohwx',NULL,'ohwx man in profile, black and white photograph, thin bright outline of light from behind, deep black background, quiet mood',1,'{}',0,'2026-12-01 06:33:21.411237',0);
INSERT INTO "templates" VALUES(1000000040,3,'man','ohwx',NULL,'ohwx man in a long dark coat, full figure, black and white studio photograph, hands in pockets, shadow on a textured canvas backdrop',1,'{}',0,'2026-12-01 06:33:21.411624',0);
INSERT INTO "templates" VALUES(1000000041,3,'woman','ohwx',NULL,'ohwx woman in a black roll-neck, black and white studio portrait, one hard light from the side, half of the face in shadow, dark background, fine grain',1,'{}',0,'2026-12-01 06:33:21.411968',0);
INSERT INTO "templates" VALUES(1000000042,3,'woman','ohwx',NULL,'ohwx woman in a white shirt with rolled sleeves, black and white studio photograph, seated on a wooden stool, plain white wall, soft even light',1,'{}',0,'2026-12-01 06:33:21.412295',0);
INSERT INTO "templates" VALUES(1000000043,3,'woman','ohwx',NULL,'ohwx woman laughing with closed eyes, black and white close portrait, grey seamless paper, large soft light from above',1,'{}',0,'2026-12-01 06:33:21.412615',0);
INSERT INTO "templates" VALUES(1000000044,3,'woman','ohwx',NULL,'ohwx woman in profile, black and white photograph, thin bright outline of light from behind, deep black background, quiet mood',1,'{}',0,'2026-12-01 06:33:21.413002',0);
INSERT INTO "templates" VALUES(1000000045,3,'woman','ohwx',NULL,'ohwx woman in a long dark coat, full figure, black and white studio photograph, hands in pockets, shadow on a textured canvas backdrop',1,'{}',0,'2026-12-01 06:33:21.413333',0);
INSERT INTO "templates" VALUES(1000000046,3,'person','ohwx',NULL,'ohwx person in a black roll-neck, black and white studio portrait, one hard light from the side, half of the face in shadow, dark background, fine grain',1,'{}',0,'2026-12-01 06:33:21.413655',0);
INSERT INTO "templates" VALUES(1000000047,3,'person','ohwx',NULL,'ohwx person in a white shirt with rolled sleeves, black and white studio photograph, seated on a wooden stool, plain white wall, soft even light',1,'{}',0,'2026-12-01 06:33:21.413977',0);
INSERT INTO "templates" VALUES(1000000048,3,'person','ohwx',NULL,'ohwx person laughing with closed eyes, black and white close portrait, grey seamless paper, large soft light from above',1,'{}',0,'2026-12-01 06:33:21.414294',0);
INSERT INTO "templates" VALUES(1000000049,3,'person','ohwx',NULL,'ohwx person in profile, black and white photograph, thin bright outline of light from behind, deep black background, quiet mood',1,'{}',0,'2026-12-01 06:33:21.414610',0);
INSERT INTO "templates" VALUES(1000000050,3,'person','ohwx',NULL,'ohwx person in a long dark coat, full figure, black and white studio photograph, hands in pockets, shadow on a textured canvas backdrop',1,'{}',0,'2026-12-01 06:33:21.414928',0);
INSERT INTO "templates" VALUES(1000000051,4,'man','ohwx',NULL,'ohwx man in a grey hoodie at a cafe window, both hands round a coffee mug, rainy street outside, soft daylight, candid photograph',1,'{}',0,'2026-12-01 06:33:21.415596',0);
INSERT INTO "templates" VALUES(1000000052,4,'man','ohwx',NULL,'ohwx man in a plain white T-shirt against a sunlit brick wall, easy smile, hands in pockets, warm afternoon light',1,'{}',0,'2026-12-01 06:33:21.415940',0);
INSERT INTO "templates" VALUES(1000000053,4,'man','ohwx',NULL,'ohwx man on a sofa with a book, striped socks, green house plants, large window, quiet Sunday light, wide photograph',1,'{}',0,'2026-12-01 06:33:21.416265',0);
INSERT INTO "templates" VALUES(1000000054,4,'man','ohwx',NULL,'ohwx man in a kitchen chopping vegetables, linen apron, sleeves rolled up, copper pans behind, warm lamp light',1,'{}',0,'2026-12-01 06:33:21.416586',0);
INSERT INTO "templates" VALUES(1000000055,4,'man','ohwx',NULL,'ohwx man at a street market holding a paper bag of oranges, light summer shirt, colourful awnings, bright noon, candid photograph',1,'{}',0,'2026-12-01 06:33:21.416906',0);
INSERT INTO "templates" VALUES(1000000056,4,'man','ohwx',NULL,'ohwx man on the steps of an old house in jeans and a checked shirt, chin on one hand, evening sun, film photograph',1,'{}',0,'2026-12-01 06:33:21.417226',0);
INSERT INTO "templates" VALUES(1000000057,4,'woman','ohwx',NULL,'ohwx woman in a grey hoodie at a cafe window, both hands round a coffee mug, rainy street outside, soft daylight, candid photograph',1,'{}',0,'2026-12-01 06:33:21.417546',0);
INSERT INTO "templates" VALUES(1000000058,4,'woman','ohwx',NULL,'ohwx woman in a plain white T-shirt against a sunlit brick wall, easy smile, hands in pockets, warm afternoon light',1,'{}',0,'2026-12-01 06:33:21.417862',0);
INSERT INTO "templates" VALUES(1000000059,4,'woman','ohwx',NULL,'ohwx woman on a sofa with a book, striped socks, green house plants, large window, quiet Sunday light, wide photograph',1,'{}',0,'2026-12-01 06:33:21.418182',0);
INSERT INTO "templates" VALUES(1000000060,4,'woman','ohwx',NULL,'ohwx woman in a kitchen chopping vegetables, linen apron, sleeves rolled up, copper pans behind, warm lamp light',1,'{}',0,'2026-12-01 06:33:21.418498',0);
INSERT INTO "templates" VALUES(1000000061,4,'woman','ohwx',NULL,'ohwx woman at a street market holding a paper bag of oranges, light summer shirt, colourful awnings, bright noon, candid photograph',1,'{}',0,'2026-12-01 06:33:21.418811',0);
INSERT INTO "templates" VALUES(1000000062,4,'woman','ohwx',NULL,'ohwx woman on the steps of an old house in jeans and a checked shirt, chin on one hand, evening sun, film photograph',1,'{}',0,'2026-12-01 06:33:21.419127',0);
INSERT INTO "templates" VALUES(1000000063,4,'person','ohwx',NULL,'ohwx person in a grey hoodie at a cafe window, both hands round a coffee mug, rainy street outside, soft daylight, candid photograph',1,'{}',0,'2026-12-01 06:33:21.419444',0);
INSERT INTO "templates" VALUES(1000000064,4,'person','ohwx',NULL,'ohwx person in a plain white T-shirt against a sunlit brick wall, easy smile, hands in pockets, warm afternoon light',1,'{}',0,'2026-12-01 06:33:21.419822',0);
INSERT INTO "templates" VALUES(1000000065,4,'person','ohwx',NULL,'ohwx person on a sofa with a book, striped socks, green house plants, large window, quiet Sunday light, wide photograph',1,'{}',0,'2026-12-01 06:33:21.420149',0);
INSERT INTO "templates" VALUES(1000000066,4,'person','ohwx',NULL,'ohwx person in a kitchen chopping vegetables, linen apron, sleeves rolled up, copper pans behind, warm lamp light',1,'{}',0,'2026-12-01 06:33:21.420476',0);
INSERT INTO "templates" VALUES(1000000067,4,'person','ohwx',NULL,'ohwx person at a street market holding a paper bag of oranges, light summer shirt, colourful awnings, bright noon, candid photograph',1,'{}',0,'2026-12-01 06:33:21.420804',0);
INSERT INTO "templates" VALUES(1000000068,4,'person','ohwx',NULL,'ohwx person on the steps of an old house in jeans and a checked shirt, chin on one hand, evening sun, film photograph',1,'{}',0,'2026-12-01 06:33:21.421124',0);
INSERT INTO "templates" VALUES(1000000069,5,'man','ohwx',NULL,'ohwx man as an oil painting with thick visible brush strokes, ochre and teal palette, head and shoulders, light falling from a high window',1,'{}',0,'2026-12-01 06:33:21.421769',0);
INSERT INTO "templates" VALUES(1000000070,5,'man','ohwx',NULL,'ohwx man in a silver jacket on a rainy night street, pink and cyan neon reflected in puddles, cinematic photograph, shallow depth',1,'{}',0,'2026-12-01 06:33:21.422096',0);
INSERT INTO "templates" VALUES(1000000071,5,'man','ohwx',NULL,'ohwx man as a layered paper-cut illustration, pastel hills and a large moon behind, soft shadows between the layers',1,'{}',0,'2026-12-01 06:33:21.422423',0);
INSERT INTO "templates" VALUES(1000000072,5,'man','ohwx',NULL,'ohwx man as an astronaut with an open visor, orange desert planet, two small moons, warm sunset, detailed film still',1,'{}',0,'2026-12-01 06:33:21.422833',0);
INSERT INTO "templates" VALUES(1000000073,5,'man','ohwx',NULL,'ohwx man as a watercolour sketch on textured paper, loose ink lines, splashes of blue and coral, white margins',1,'{}',0,'2026-12-01 06:33:21.423201',0);
INSERT INTO "templates" VALUES(1000000074,5,'man','ohwx',NULL,'ohwx man in a velvet costume of a travelling magician, floating playing cards, dark red curtain, single theatre spotlight',1,'{}',0,'2026-12-01 06:33:21.423581',0);
INSERT INTO "templates" VALUES(1000000075,5,'woman','ohwx',NULL,'ohwx woman as an oil painting with thick visible brush strokes, ochre and teal palette, head and shoulders, light falling from a high window',1,'{}',0,'2026-12-01 06:33:21.423921',0);
INSERT INTO "templates" VALUES(1000000076,5,'woman','ohwx',NULL,'ohwx woman in a silver jacket on a rainy night street, pink and cyan neon reflected in puddles, cinematic photograph, shallow depth',1,'{}',0,'2026-12-01 06:33:21.424244',0);
INSERT INTO "templates" VALUES(1000000077,5,'woman','ohwx',NULL,'ohwx woman as a layered paper-cut illustration, pastel hills and a large moon behind, soft shadows between the layers',1,'{}',0,'2026-12-01 06:33:21.424561',0);
INSERT INTO "templates" VALUES(1000000078,5,'woman','ohwx',NULL,'ohwx woman as an astronaut with an open visor, orange desert planet, two small moons, warm sunset, detailed film still',1,'{}',0,'2026-12-01 06:33:21.424881',0);
INSERT INTO "templates" VALUES(1000000079,5,'woman','ohwx',NULL,'ohwx woman as a watercolour sketch on textured paper, loose ink lines, splashes of blue and coral, white margins',1,'{}',0,'2026-12-01 06:33:21.425196',0);
INSERT INTO "templates" VALUES(1000000080,5,'woman','ohwx',NULL,'ohwx woman in a velvet costume of a travelling magician, floating playing cards, dark red curtain, single theatre spotlight',1,'{}',0,'2026-12-01 06:33:21.425515',0);
INSERT INTO "templates" VALUES(1000000081,5,'person','ohwx',NULL,'ohwx person as an oil painting with thick visible brush strokes, ochre and teal palette, head and shoulders, light falling from a high window',1,'{}',0,'2026-12-01 06:33:21.425834',0);
INSERT INTO "templates" VALUES(1000000082,5,'person','ohwx',NULL,'ohwx person in a silver jacket on a rainy night street, pink and cyan neon reflected in puddles, cinematic photograph, shallow depth',1,'{}',0,'2026-12-01 06:33:21.426149',0);
INSERT INTO "templates" VALUES(1000000083,5,'person','ohwx',NULL,'ohwx person as a layered paper-cut illustration, pastel hills and a large moon behind, soft shadows between the layers',1,'{}',0,'2026-12-01 06:33:21.426461',0);
INSERT INTO "templates" VALUES(1000000084,5,'person','ohwx',NULL,'ohwx person as an astronaut with an open visor, orange desert planet, two small moons, warm sunset, detailed film still',1,'{}',0,'2026-12-01 06:33:21.426781',0);
INSERT INTO "templates" VALUES(1000000085,5,'person','ohwx',NULL,'ohwx person as a watercolour sketch on textured paper, loose ink lines, splashes of blue and coral, white margins',1,'{}',0,'2026-12-01 06:33:21.427096',0);
INSERT INTO "templates" VALUES(1000000086,5,'person','ohwx',NULL,'ohwx person in a velvet costume of a travelling magician, floating playing cards, dark red curtain, single theatre spotlight',1,'{}',0,'2026-12-01 06:33:21.427411',0);
INSERT INTO "templates" VALUES(1000000087,6,'man','ohwx',NULL,'ohwx man in a dark green knitted sweater beside a decorated fir tree, small warm lights out of focus, holding a wrapped present, cosy photograph',1,'{}',0,'2026-12-01 06:33:21.428088',0);
INSERT INTO "templates" VALUES(1000000088,6,'man','ohwx',NULL,'ohwx man in a red scarf and wool hat in falling snow, wooden market stalls with lanterns behind, blue dusk, bright smile',1,'{}',0,'2026-12-01 06:33:21.428414',0);
INSERT INTO "templates" VALUES(1000000089,6,'man','ohwx',NULL,'ohwx man on a white beach in a linen shirt, turquoise water, palm shadow across the sand, bright morning sun',1,'{}',0,'2026-12-01 06:33:21.428733',0);
INSERT INTO "templates" VALUES(1000000090,6,'man','ohwx',NULL,'ohwx man at a long festive table lit by candles, raising a glass, friends as soft shapes, warm golden light',1,'{}',0,'2026-12-01 06:33:21.429051',0);
INSERT INTO "templates" VALUES(1000000091,6,'man','ohwx',NULL,'ohwx man on a balcony at midnight with a sparkler, dark coat, fireworks above the city roofs, light on the face',1,'{}',0,'2026-12-01 06:33:21.429364',0);
INSERT INTO "templates" VALUES(1000000092,6,'man','ohwx',NULL,'ohwx man with a suitcase in an old railway station, camel coat, sunbeams through high windows, about to travel',1,'{}',0,'2026-12-01 06:33:21.429676',0);
INSERT INTO "templates" VALUES(1000000093,6,'woman','ohwx',NULL,'ohwx woman in a dark green knitted sweater beside a decorated fir tree, small warm lights out of focus, holding a wrapped present, cosy photograph',1,'{}',0,'2026-12-01 06:33:21.429990',0);
INSERT INTO "templates" VALUES(1000000094,6,'woman','ohwx',NULL,'ohwx woman in a red scarf and wool hat in falling snow, wooden market stalls with lanterns behind, blue dusk, bright smile',1,'{}',0,'2026-12-01 06:33:21.430305',0);
INSERT INTO "templates" VALUES(1000000095,6,'woman','ohwx',NULL,'ohwx woman on a white beach in a linen shirt, turquoise water, palm shadow across the sand, bright morning sun',1,'{}',0,'2026-12-01 06:33:21.430624',0);
INSERT INTO "templates" VALUES(1000000096,6,'woman','ohwx',NULL,'ohwx woman at a long festive table lit by candles, raising a glass, friends as soft shapes, warm golden light',1,'{}',0,'2026-12-01 06:33:21.430939',0);
INSERT INTO "templates" VALUES(1000000097,6,'woman','ohwx',NULL,'ohwx woman on a balcony at midnight with a sparkler, dark coat, fireworks above the city roofs, light on the face',1,'{}',0,'2026-12-01 06:33:21.431262',0);
INSERT INTO "templates" VALUES(1000000098,6,'woman','ohwx',NULL,'ohwx woman with a suitcase in an old railway station, camel coat, sunbeams through high windows, about to travel',1,'{}',0,'2026-12-01 06:33:21.431620',0);
INSERT INTO "templates" VALUES(1000000099,6,'person','ohwx',NULL,'ohwx person in a dark green knitted sweater beside a decorated fir tree, small warm lights out of focus, holding a wrapped present, cosy photograph',1,'{}',0,'2026-12-01 06:33:21.431945',0);
INSERT INTO "templates" VALUES(1000000100,6,'person','ohwx',NULL,'ohwx person in a red scarf and wool hat in falling snow, wooden market stalls with lanterns behind, blue dusk, bright smile',1,'{}',0,'2026-12-01 06:33:21.432257',0);
INSERT INTO "templates" VALUES(1000000101,6,'person','ohwx',NULL,'ohwx person on a white beach in a linen shirt, turquoise water, palm shadow across the sand, bright morning sun',1,'{}',0,'2026-12-01 06:33:21.432569',0);
INSERT INTO "templates" VALUES(1000000102,6,'person','ohwx',NULL,'ohwx person at a long festive table lit by candles, raising a glass, friends as soft shapes, warm golden light',1,'{}',0,'2026-12-01 06:33:21.432933',0);
INSERT INTO "templates" VALUES(1000000103,6,'person','ohwx',NULL,'ohwx person on a balcony at midnight with a sparkler, dark coat, fireworks above the city roofs, light on the face',1,'{}',0,'2026-12-01 06:33:21.433255',0);
INSERT INTO "templates" VALUES(1000000104,6,'person','ohwx',NULL,'ohwx person with a suitcase in an old railway station, camel coat, sunbeams through high windows, about to travel',1,'{}',0,'2026-12-01 06:33:21.433571',0);
INSERT INTO "templates" VALUES(1000000105,7,'dog','ohwx',NULL,'ohwx dog sitting upright on a plain sand-coloured studio floor, looking into the camera, soft light from the left, every hair crisp, portrait photograph',1,'{}',0,'2026-12-01 06:33:21.434190',0);
INSERT INTO "templates" VALUES(1000000106,7,'dog','ohwx',NULL,'ohwx dog in tall summer grass, head above the stems, low evening sun behind, glowing fur, photograph at eye level',1,'{}',0,'2026-12-01 06:33:21.434517',0);
INSERT INTO "templates" VALUES(1000000107,7,'dog','ohwx',NULL,'ohwx dog asleep on a blue knitted blanket beside a window, rain outside, soft grey daylight, close photograph',1,'{}',0,'2026-12-01 06:33:21.434833',0);
INSERT INTO "templates" VALUES(1000000108,7,'dog','ohwx',NULL,'ohwx dog wearing a small red bandana on a wooden porch, ears up, autumn leaves around, warm light',1,'{}',0,'2026-12-01 06:33:21.435156',0);
INSERT INTO "templates" VALUES(1000000109,7,'dog','ohwx',NULL,'ohwx dog as a framed oil painting of a nobleman, dark velvet collar with gold trim, brown background, candle light',1,'{}',0,'2026-12-01 06:33:21.435472',0);
INSERT INTO "templates" VALUES(1000000110,7,'dog','ohwx',NULL,'ohwx dog running through shallow water at the beach, drops in the air, bright sun, fast shutter photograph',1,'{}',0,'2026-12-01 06:33:21.435865',0);
INSERT INTO "templates" VALUES(1000000111,7,'cat','ohwx',NULL,'ohwx cat sitting upright on a plain sand-coloured studio floor, looking into the camera, soft light from the left, every hair crisp, portrait photograph',1,'{}',0,'2026-12-01 06:33:21.436199',0);
INSERT INTO "templates" VALUES(1000000112,7,'cat','ohwx',NULL,'ohwx cat in tall summer grass, head above the stems, low evening sun behind, glowing fur, photograph at eye level',1,'{}',0,'2026-12-01 06:33:21.436517',0);
INSERT INTO "templates" VALUES(1000000113,7,'cat','ohwx',NULL,'ohwx cat asleep on a blue knitted blanket beside a window, rain outside, soft grey daylight, close photograph',1,'{}',0,'2026-12-01 06:33:21.436830',0);
INSERT INTO "templates" VALUES(1000000114,7,'cat','ohwx',NULL,'ohwx cat wearing a small red bandana on a wooden porch, ears up, autumn leaves around, warm light',1,'{}',0,'2026-12-01 06:33:21.437144',0);
INSERT INTO "templates" VALUES(1000000115,7,'cat','ohwx',NULL,'ohwx cat as a framed oil painting of a nobleman, dark velvet collar with gold trim, brown background, candle light',1,'{}',0,'2026-12-01 06:33:21.437460',0);
INSERT INTO "templates" VALUES(1000000116,7,'cat','ohwx',NULL,'ohwx cat running through shallow water at the beach, drops in the air, bright sun, fast shutter photograph',1,'{}',0,'2026-12-01 06:33:21.437774',0);
INSERT INTO "templates" VALUES(1000000117,8,'product','ohwx',NULL,'ohwx product on a round stone pedestal, seamless pale grey background, large soft light from above, gentle shadow, catalogue photograph',1,'{}',0,'2026-12-01 06:33:21.438385',0);
INSERT INTO "templates" VALUES(1000000118,8,'product','ohwx',NULL,'ohwx product on a light oak table beside a sprig of eucalyptus, morning window light, linen cloth, calm still life photograph',1,'{}',0,'2026-12-01 06:33:21.438712',0);
INSERT INTO "templates" VALUES(1000000119,8,'product','ohwx',NULL,'ohwx product on wet black slate, thin mist behind, narrow light from the side tracing the edges, dark advertising photograph',1,'{}',0,'2026-12-01 06:33:21.439032',0);
INSERT INTO "templates" VALUES(1000000120,8,'product','ohwx',NULL,'ohwx product on a bright yellow paper backdrop, hard noon sun, crisp geometric shadow, playful still life seen from above',1,'{}',0,'2026-12-01 06:33:21.439349',0);
INSERT INTO "templates" VALUES(1000000121,8,'product','ohwx',NULL,'ohwx product held in one hand against a blurred city street, evening lights, natural skin, lifestyle photograph',1,'{}',0,'2026-12-01 06:33:21.439748',0);
INSERT INTO "templates" VALUES(1000000122,8,'product','ohwx',NULL,'ohwx product among smooth pebbles at the edge of a clear stream, dappled sunlight, green moss, close photograph',1,'{}',0,'2026-12-01 06:33:21.440080',0);
CREATE TABLE tunes (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	account_id INTEGER NOT NULL, 
	title TEXT NOT NULL, 
	name VARCHAR(60) NOT NULL, 
	token VARCHAR(40), 
	model_type VARCHAR(20) NOT NULL, 
	branch VARCHAR(20) NOT NULL, 
	base TEXT NOT NULL, 
	base_tune_id INTEGER NOT NULL, 
	preset VARCHAR(40), 
	steps INTEGER, 
	spec JSON NOT NULL, 
	characteristics JSON NOT NULL, 
	callback TEXT, 
	face_crop BOOLEAN NOT NULL, 
	auto_extend BOOLEAN NOT NULL, 
	imported BOOLEAN NOT NULL, 
	lora TEXT, 
	deaths INTEGER NOT NULL, 
	progress JSON NOT NULL, 
	eta DATETIME, 
	user_error TEXT, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	started_training_at DATETIME, 
	trained_at DATETIME, 
	failed_at DATETIME, 
	expires_at DATETIME, 
	deleted_at DATETIME, lora_bytes BIGINT DEFAULT '0' NOT NULL, cost_mc BIGINT DEFAULT '0' NOT NULL, continues INTEGER, likeness_of_photos DOUBLE, 
	FOREIGN KEY(account_id) REFERENCES accounts (id)
);
INSERT INTO "tunes" VALUES(5000000,1,'under way','man','ohwx','lora','flux1','nano',1504944,NULL,12,'{"class_name": "man", "base": "nano", "token": "ohwx", "preset": null, "steps": 12, "rank": 16, "learning_rate": null, "optimizer": "adamw", "batch_size": null, "resolutions": null, "sigma_law": "logit-normal", "guidance": 1.0, "text_length": null, "face_crop": false, "caption_dropout": 0.0, "clip_norm": 1.0, "ema": null, "gradient_checkpointing": "auto", "quantisation": "auto", "dtype": "auto", "encoders": "auto", "offload_blocks": null, "seed": 0, "checkpoint_every": 100, "keep_checkpoints": 2, "sample_prompts": ["ohwx man at the beach", "ohwx man in a city at night", "ohwx man in snowy mountains"], "stages": 4, "continue_from": null, "trackers": []}','{}',NULL,0,0,0,NULL,0,'{"step": 1, "steps": 12, "loss": 0.22736921906471252, "steps_per_second": 3.186, "seconds_left": 3.5, "losses": [0.22736921906471252], "samples": 3}','2026-12-01 06:33:38.703707',NULL,'2026-12-01 06:33:30.422663','2026-12-01 06:33:35.204413','2026-12-01 06:33:30.561753',NULL,NULL,NULL,NULL,0,120,NULL,NULL);
INSERT INTO "tunes" VALUES(5000001,1,'waiting','man','ohwx','lora','flux1','nano',1504944,NULL,4,'{"class_name": "man", "base": "nano", "token": "ohwx", "preset": null, "steps": 4, "rank": 16, "learning_rate": null, "optimizer": "adamw", "batch_size": null, "resolutions": null, "sigma_law": "logit-normal", "guidance": 1.0, "text_length": null, "face_crop": false, "caption_dropout": 0.0, "clip_norm": 1.0, "ema": null, "gradient_checkpointing": "auto", "quantisation": "auto", "dtype": "auto", "encoders": "auto", "offload_blocks": null, "seed": 0, "checkpoint_every": 100, "keep_checkpoints": 2, "sample_prompts": ["ohwx man at the beach", "ohwx man in a city at night", "ohwx man in snowy mountains"], "stages": 4, "continue_from": null, "trackers": []}','{}',NULL,0,0,0,NULL,0,'{}','2026-12-01 07:03:30.622489',NULL,'2026-12-01 06:33:30.623189','2026-12-01 06:33:30.631158',NULL,NULL,NULL,NULL,NULL,0,40,NULL,NULL);
CREATE TABLE uses (
	prompt_id INTEGER NOT NULL, 
	tune_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	weight DOUBLE NOT NULL, 
	PRIMARY KEY (prompt_id, tune_id), 
	FOREIGN KEY(prompt_id) REFERENCES prompts (id), 
	FOREIGN KEY(tune_id) REFERENCES tunes (id)
);
CREATE TABLE web_sessions (
	id INTEGER NOT NULL, 
	account_id INTEGER NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(account_id) REFERENCES accounts (id), 
	UNIQUE (digest)
);
CREATE TABLE workflow_events (
    workflow_uuid TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, key),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE workflow_events_history (
    workflow_uuid TEXT NOT NULL,
    function_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, function_id, key),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid)
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE workflow_input (
    workflow_uuid TEXT NOT NULL PRIMARY KEY,
    inputs TEXT,
    retention_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
);
INSERT INTO "workflow_input" VALUES('tune-5000000','{"namedArgs":{},"positionalArgs":[5000000]}',1796106810000);
INSERT INTO "workflow_input" VALUES('tune-5000001','{"namedArgs":{},"positionalArgs":[5000001]}',1796106810000);
INSERT INTO "workflow_input" VALUES('prompt-1','{"namedArgs":{},"positionalArgs":[1]}',1796106810000);
INSERT INTO "workflow_input" VALUES('prompt-2','{"namedArgs":{},"positionalArgs":[2]}',1796106810000);
CREATE TABLE workflow_output (
    workflow_uuid TEXT NOT NULL PRIMARY KEY,
    output TEXT,
    error TEXT,
    retention_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
);
CREATE TABLE workflow_schedules (
    schedule_id TEXT PRIMARY KEY,
    schedule_name TEXT NOT NULL UNIQUE,
    workflow_name TEXT NOT NULL,
    workflow_class_name TEXT,
    schedule TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'ACTIVE',
    context TEXT NOT NULL
, "last_fired_at" TEXT DEFAULT NULL, "automatic_backfill" BOOLEAN NOT NULL DEFAULT FALSE, "cron_timezone" TEXT DEFAULT NULL, "queue_name" TEXT DEFAULT NULL, "application_name" TEXT DEFAULT NULL);
CREATE TABLE workflow_status (
    workflow_uuid TEXT PRIMARY KEY,
    status TEXT,
    name TEXT,
    authenticated_user TEXT,
    assumed_role TEXT,
    authenticated_roles TEXT,
    request TEXT,
    output TEXT,
    error TEXT,
    executor_id TEXT,
    created_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    updated_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    application_version TEXT,
    application_id TEXT,
    class_name TEXT DEFAULT NULL,
    config_name TEXT DEFAULT NULL,
    recovery_attempts INTEGER DEFAULT 0,
    queue_name TEXT,
    workflow_timeout_ms INTEGER,
    workflow_deadline_epoch_ms INTEGER,
    inputs TEXT,
    started_at_epoch_ms INTEGER,
    deduplication_id TEXT,
    priority INTEGER NOT NULL DEFAULT 0
, queue_partition_key TEXT, forked_from TEXT, "owner_xid" TEXT DEFAULT NULL, "parent_workflow_id" TEXT DEFAULT NULL, "serialization" TEXT DEFAULT NULL, "delay_until_epoch_ms" BIGINT DEFAULT NULL, "was_forked_from" BOOLEAN NOT NULL DEFAULT FALSE, "rate_limited" BOOLEAN NOT NULL DEFAULT FALSE, "completed_at" BIGINT, "attributes" TEXT, "schedule_name" TEXT, "debounce_deadline_epoch_ms" BIGINT DEFAULT NULL, "is_debounced" BOOLEAN NOT NULL DEFAULT FALSE, "application_name" TEXT DEFAULT NULL, "creator_xid" TEXT DEFAULT NULL);
INSERT INTO "workflow_status" VALUES('tune-5000000','PENDING','train',NULL,NULL,NULL,NULL,NULL,NULL,'local',1796106810000,1796106810000,'1',NULL,NULL,NULL,1,'device',NULL,NULL,NULL,1796106810000,NULL,28902810,NULL,NULL,'1f3b24b5-0d4d-445e-be6d-fc9f11621d29',NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'fluxbooth','28bcc773-039f-4a1a-8881-fc6d0b4f4b89');
INSERT INTO "workflow_status" VALUES('tune-5000001','ENQUEUED','train',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1796106810000,1796106810000,'1',NULL,NULL,NULL,0,'device',NULL,NULL,NULL,NULL,NULL,28902810,NULL,NULL,NULL,NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,NULL,'6fe62aa0-3731-42e4-9702-11b0f606d676');
INSERT INTO "workflow_status" VALUES('prompt-1','ENQUEUED','draw',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1796106810000,1796106810000,'1',NULL,NULL,NULL,0,'device',NULL,NULL,NULL,NULL,NULL,28881210,NULL,NULL,NULL,NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,NULL,'7a1d5017-f5c4-4c5e-b486-510336f26e35');
INSERT INTO "workflow_status" VALUES('prompt-2','ENQUEUED','draw',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1796106810000,1796106810000,'1',NULL,NULL,NULL,0,'device',NULL,NULL,NULL,NULL,NULL,28883010,NULL,NULL,NULL,NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,NULL,'f95ad490-21d1-4022-8ecf-9875c8a785ca');
CREATE INDEX ix_prompts_signature ON prompts (signature);
CREATE INDEX ix_prompts_tune_id ON prompts (tune_id);
CREATE INDEX prompts_of_account ON prompts (account_id, id);
CREATE INDEX tunes_of_account ON tunes (account_id, id);
CREATE INDEX ix_callbacks_prompt_id ON callbacks (prompt_id);
CREATE INDEX ix_callbacks_tune_id ON callbacks (tune_id);
CREATE INDEX ix_images_prompt_id ON images (prompt_id);
CREATE INDEX ix_photos_tune_id ON photos (tune_id);
CREATE INDEX ix_uses_tune_id ON uses (tune_id);
CREATE INDEX ix_web_sessions_account_id ON web_sessions (account_id);
CREATE INDEX ix_packs_account_id ON packs (account_id);
CREATE INDEX ix_templates_pack_id ON templates (pack_id);
CREATE INDEX ix_prompts_order_id ON prompts (order_id);
CREATE INDEX ix_ledger_account_id ON ledger (account_id);
CREATE UNIQUE INDEX one_end_of_a_job ON ledger (job) WHERE kind IN ('capture', 'refund');
CREATE INDEX open_tunes ON tunes (account_id) WHERE trained_at IS NULL AND failed_at IS NULL AND deleted_at IS NULL;
CREATE INDEX open_prompts ON prompts (account_id) WHERE trained_at IS NULL AND deleted_at IS NULL;
CREATE INDEX ix_orders_account_id ON orders (account_id);
CREATE INDEX workflow_status_created_at_index ON workflow_status (created_at);
CREATE INDEX idx_workflow_topic ON notifications (destination_uuid, topic);
CREATE INDEX "idx_workflow_status_delayed" ON "workflow_status" ("delay_until_epoch_ms") WHERE status = 'DELAYED';
CREATE INDEX "idx_workflow_status_forked_from" ON "workflow_status" ("forked_from") WHERE "forked_from" IS NOT NULL;
CREATE INDEX "idx_workflow_status_parent_workflow_id" ON "workflow_status" ("parent_workflow_id") WHERE "parent_workflow_id" IS NOT NULL;
CREATE UNIQUE INDEX "uq_workflow_status_dedup_id" ON "workflow_status" ("queue_name", "deduplication_id") WHERE "deduplication_id" IS NOT NULL;
CREATE INDEX "idx_workflow_status_pending" ON "workflow_status" ("created_at") WHERE "status" = 'PENDING';
CREATE INDEX "idx_workflow_status_failed" ON "workflow_status" ("status", "created_at") WHERE "status" IN ('ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED');
CREATE INDEX "idx_workflow_status_rate_limited" ON "workflow_status" ("queue_name", "started_at_epoch_ms") WHERE "rate_limited" = TRUE;
CREATE INDEX "idx_workflow_status_completed_at" ON "workflow_status" ("completed_at") WHERE "completed_at" IS NOT NULL;
CREATE INDEX "idx_workflow_status_started_at" ON "workflow_status" ("started_at_epoch_ms") WHERE "started_at_epoch_ms" IS NOT NULL;
CREATE INDEX "idx_workflow_status_schedule_name" ON "workflow_status" ("schedule_name") WHERE "schedule_name" IS NOT NULL;
CREATE UNIQUE INDEX "uq_application_versions_owner_version"
    ON application_versions ("application_name", "version_name")
    WHERE "application_name" IS NOT NULL;
CREATE UNIQUE INDEX "uq_application_versions_unclaimed_version"
    ON application_versions ("version_name")
    WHERE "application_name" IS NULL;
CREATE INDEX idx_workflow_input_retention
    ON workflow_input (retention_timestamp);
CREATE INDEX idx_workflow_output_retention
    ON workflow_output (retention_timestamp);
CREATE INDEX idx_operation_outputs_retention
    ON operation_outputs (retention_timestamp);
CREATE INDEX "idx_workflow_status_in_flight_v2" ON "workflow_status" ("queue_name", "status", "priority", "created_at", "application_name") WHERE "status" IN ('ENQUEUED', 'PENDING');
CREATE INDEX "idx_workflow_status_partition_dequeue_v3" ON "workflow_status" ("queue_name", "status", "queue_partition_key", "priority", "created_at", "workflow_uuid", "application_name") WHERE "status" IN ('ENQUEUED', 'PENDING') AND "queue_partition_key" IS NOT NULL;
CREATE INDEX "idx_operation_outputs_completed_at_function_name_v2" ON "operation_outputs" ("completed_at_epoch_ms", "function_name", "application_name");
CREATE INDEX "idx_workflow_status_deadline" ON "workflow_status" ("workflow_deadline_epoch_ms") WHERE "status" IN ('ENQUEUED', 'PENDING', 'DELAYED') AND "workflow_deadline_epoch_ms" IS NOT NULL;
CREATE INDEX "idx_application_versions_timestamp" ON "application_versions" ("version_timestamp" DESC);
CREATE INDEX "idx_application_versions_owner_timestamp" ON "application_versions" ("application_name", "version_timestamp" DESC);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('tunes',5000001);
INSERT INTO "sqlite_sequence" VALUES('templates',1000000122);
INSERT INTO "sqlite_sequence" VALUES('orders',0);
INSERT INTO "sqlite_sequence" VALUES('packs',8);
INSERT INTO "sqlite_sequence" VALUES('prompts',2);
COMMIT;
