-- RetailCore: the database of a web shop that grew for ten years on LAMP.
-- Loads as it is into MySQL 5.6, MySQL 9 and MariaDB 10.11 (statement by statement, or with the mysql client).
-- The last two statements turn LONGTEXT into JSON where the server has JSON.

SET SESSION sql_mode = '';
SET SESSION foreign_key_checks = 0;

-- ---------------------------------------------------------------- identity

CREATE TABLE `group` (
  code VARCHAR(16) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL,
  `desc` VARCHAR(120) CHARACTER SET latin1 NOT NULL DEFAULT '' COMMENT 'shown on invoices',
  rebate FLOAT NOT NULL DEFAULT 0 COMMENT 'percent, as a float since 2014',
  `order` SMALLINT NOT NULL DEFAULT 0,
  PRIMARY KEY (code)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COMMENT='customer groups';

CREATE TABLE users (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  email VARCHAR(120) CHARACTER SET latin1 NOT NULL,
  customer_no CHAR(16) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL COMMENT 'moves when accounts are merged',
  first_name VARCHAR(60) CHARACTER SET latin1 NOT NULL DEFAULT '',
  last_name VARCHAR(60) CHARACTER SET latin1 NOT NULL DEFAULT '',
  nickname VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NULL,
  password_hash BINARY(32) NULL,
  `group` VARCHAR(16) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL DEFAULT 'RETAIL',
  referrer_id INT UNSIGNED NULL,
  status CHAR(1) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL DEFAULT 'A' COMMENT 'A active, L locked, X closed',
  gender ENUM('','f','m','x') CHARACTER SET latin1 NOT NULL DEFAULT '',
  birth_date DATE NOT NULL DEFAULT '0000-00-00',
  member_since YEAR NULL,
  newsletter TINYINT(1) NOT NULL DEFAULT 0,
  consents BIT(10) NOT NULL DEFAULT b'0',
  channels SET('mail','sms','push','post') CHARACTER SET latin1 NOT NULL DEFAULT '',
  logins MEDIUMINT UNSIGNED NOT NULL DEFAULT 0,
  last_login DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00',
  fingerprint BIGINT UNSIGNED NULL COMMENT 'hash of the device, uses all 64 bits',
  preferences LONGTEXT CHARACTER SET utf8mb4 NULL,
  tmp_import_flag TINYINT(1) NULL COMMENT 'left over from the migration of 2016',
  deleted TINYINT(1) NOT NULL DEFAULT 0,
  deleted_at DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00',
  created_at DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00',
  updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (id),
  UNIQUE KEY uq_users_email (email),
  UNIQUE KEY uq_users_customer_no (customer_no),
  KEY ix_users_last_name (last_name(8)),
  KEY ix_users_referrer (referrer_id),
  KEY ix_users_group (`group`),
  CONSTRAINT fk_users_referrer FOREIGN KEY (referrer_id) REFERENCES users (id) ON DELETE SET NULL,
  CONSTRAINT fk_users_group FOREIGN KEY (`group`) REFERENCES `group` (code)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COMMENT='customers';

CREATE TABLE `user` (
  login VARCHAR(32) CHARACTER SET latin1 NOT NULL,
  `group` VARCHAR(16) CHARACTER SET latin1 NOT NULL DEFAULT 'clerk',
  full_name VARCHAR(80) CHARACTER SET latin1 NOT NULL DEFAULT '',
  level TINYINT(1) NOT NULL DEFAULT 2 COMMENT 'not a flag: 2 clerk .. 5 owner',
  retired TINYINT(1) NOT NULL DEFAULT 0,
  `desc` TEXT CHARACTER SET latin1 NULL,
  last_seen TIMESTAMP NOT NULL DEFAULT '0000-00-00 00:00:00',
  PRIMARY KEY (login)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COMMENT='back office staff';

CREATE TABLE user_outlet (
  login VARCHAR(32) CHARACTER SET latin1 NOT NULL,
  `group` VARCHAR(16) CHARACTER SET latin1 NOT NULL DEFAULT 'clerk',
  full_name VARCHAR(80) CHARACTER SET latin1 NOT NULL DEFAULT '',
  level TINYINT(1) NOT NULL DEFAULT 2,
  retired TINYINT(1) NOT NULL DEFAULT 0,
  `desc` TEXT CHARACTER SET latin1 NULL,
  last_seen TIMESTAMP NOT NULL DEFAULT '0000-00-00 00:00:00',
  PRIMARY KEY (login)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COMMENT='staff of the outlet, bought in 2019 with its logins';

CREATE TABLE addresses (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  user_id INT UNSIGNED NOT NULL,
  kind ENUM('billing','shipping','pick up') CHARACTER SET latin1 NOT NULL DEFAULT 'shipping',
  is_default TINYINT(1) NOT NULL DEFAULT 0,
  street VARCHAR(120) CHARACTER SET latin1 NOT NULL DEFAULT '',
  zip CHAR(10) CHARACTER SET latin1 NOT NULL DEFAULT '',
  city VARCHAR(80) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NOT NULL DEFAULT '',
  country CHAR(2) CHARACTER SET latin1 NOT NULL DEFAULT 'DE',
  latitude FLOAT NULL,
  longitude FLOAT NULL,
  PRIMARY KEY (id),
  KEY ix_addresses_user (user_id),
  KEY ix_addresses_city (city(10)),
  CONSTRAINT fk_addresses_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE sessions (
  id BINARY(16) NOT NULL,
  user_id INT UNSIGNED NULL,
  ip VARBINARY(16) NOT NULL DEFAULT '',
  agent VARCHAR(120) CHARACTER SET latin1 NOT NULL DEFAULT '',
  views MEDIUMINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'rows of page_views',
  data LONGTEXT CHARACTER SET utf8mb4 NULL,
  duration TIME NOT NULL DEFAULT '00:00:00' COMMENT 'beyond 24 h for remembered logins',
  started_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  expires_at DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00',
  PRIMARY KEY (id),
  KEY ix_sessions_user (user_id),
  KEY ix_sessions_expires (expires_at),
  CONSTRAINT fk_sessions_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE page_views (
  id BIGINT NOT NULL AUTO_INCREMENT,
  session_id BINARY(16) NOT NULL,
  path VARCHAR(200) CHARACTER SET latin1 NOT NULL,
  product_id INT UNSIGNED NULL COMMENT 'no foreign key, on purpose: slow in 2015',
  millis MEDIUMINT UNSIGNED NOT NULL DEFAULT 0,
  viewed_at DATETIME NOT NULL,
  PRIMARY KEY (id),
  KEY ix_page_views_session (session_id),
  CONSTRAINT fk_page_views_session FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE wallets (
  user_id INT UNSIGNED NOT NULL,
  balance_cents BIGINT NOT NULL DEFAULT 0,
  currency CHAR(3) CHARACTER SET latin1 NOT NULL DEFAULT 'EUR',
  updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (user_id),
  CONSTRAINT fk_wallets_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COMMENT='store credit';

CREATE TABLE wallet_entries (
  user_id INT UNSIGNED NOT NULL,
  entry_ref VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL,
  amount_cents INT NOT NULL,
  reason ENUM('gift','refund','purchase','goodwill') CHARACTER SET latin1 NOT NULL DEFAULT 'gift',
  booked_at DATETIME(6) NOT NULL,
  PRIMARY KEY (user_id, entry_ref),
  CONSTRAINT fk_wallet_entries_wallet FOREIGN KEY (user_id) REFERENCES wallets (user_id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

-- ---------------------------------------------------------------- catalog

CREATE TABLE categories (
  id SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT,
  parent_id SMALLINT UNSIGNED NULL,
  slug VARCHAR(60) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL,
  name VARCHAR(80) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NOT NULL,
  `desc` TEXT CHARACTER SET latin1 NULL,
  `order` SMALLINT NOT NULL DEFAULT 0,
  visible TINYINT(1) NOT NULL DEFAULT 1,
  product_count MEDIUMINT NOT NULL DEFAULT 0 COMMENT 'kept by the application',
  opened_on DATE NOT NULL DEFAULT '0000-00-00',
  PRIMARY KEY (id),
  UNIQUE KEY uq_categories_slug (slug),
  KEY ix_categories_parent (parent_id),
  CONSTRAINT fk_categories_parent FOREIGN KEY (parent_id) REFERENCES categories (id)
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE brands (
  code VARCHAR(12) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL,
  name VARCHAR(80) CHARACTER SET latin1 NOT NULL,
  country CHAR(2) CHARACTER SET latin1 NULL,
  founded YEAR NULL,
  homepage VARCHAR(255) CHARACTER SET latin1 NULL,
  PRIMARY KEY (code),
  KEY ix_brands_homepage (homepage(20))
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE products (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  sku VARCHAR(32) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL COMMENT 'the value moves between products',
  category_id SMALLINT UNSIGNED NOT NULL,
  brand_code VARCHAR(12) CHARACTER SET latin1 COLLATE latin1_bin NULL,
  name VARCHAR(120) CHARACTER SET latin1 NOT NULL,
  name_intl VARCHAR(160) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NULL,
  `desc` TEXT CHARACTER SET latin1 NULL,
  attributes LONGTEXT CHARACTER SET utf8mb4 NULL,
  price DECIMAL(12,2) NOT NULL DEFAULT 0.00 COMMENT 'the retail row of product_prices',
  price_version SMALLINT UNSIGNED NOT NULL DEFAULT 1,
  list_price DOUBLE NOT NULL DEFAULT 0 COMMENT 'money in a double',
  weight_kg FLOAT NULL,
  ean DECIMAL(13,0) NULL,
  content_hash BIGINT UNSIGNED NOT NULL DEFAULT 0,
  condition_grade TINYINT(1) NOT NULL DEFAULT 5 COMMENT 'not a flag: 2 worn .. 5 new',
  active TINYINT(1) NOT NULL DEFAULT 1,
  kind ENUM('simple','bundle','download','gift card') CHARACTER SET latin1 NOT NULL DEFAULT 'simple',
  badges SET('new','sale','eco','last chance','café') CHARACTER SET latin1 NOT NULL DEFAULT '',
  model_year YEAR NULL,
  review_count INT NOT NULL DEFAULT 0,
  stars_sum INT NOT NULL DEFAULT 0,
  discontinued_on DATE NOT NULL DEFAULT '0000-00-00',
  legacy_blob BLOB NULL COMMENT 'serialised by PHP 5.2',
  deleted TINYINT(1) NOT NULL DEFAULT 0,
  deleted_at DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00',
  created_at DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00',
  updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (id),
  UNIQUE KEY uq_products_sku (sku),
  KEY ix_products_category (category_id),
  KEY ix_products_brand (brand_code),
  KEY ix_products_name (name(12)),
  KEY ix_products_desc (`desc`(24)),
  FULLTEXT KEY ft_products_name (name),
  CONSTRAINT fk_products_category FOREIGN KEY (category_id) REFERENCES categories (id),
  CONSTRAINT fk_products_brand FOREIGN KEY (brand_code) REFERENCES brands (code)
    ON DELETE SET NULL ON UPDATE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE product_prices (
  product_id INT UNSIGNED NOT NULL,
  `group` VARCHAR(16) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL,
  version SMALLINT UNSIGNED NOT NULL,
  amount DECIMAL(12,2) NOT NULL,
  valid_from DATE NOT NULL DEFAULT '0000-00-00',
  valid_to DATE NOT NULL DEFAULT '0000-00-00' COMMENT 'zero: until further notice',
  PRIMARY KEY (product_id, `group`, version),
  KEY ix_product_prices_group (`group`),
  CONSTRAINT fk_product_prices_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE,
  CONSTRAINT fk_product_prices_group FOREIGN KEY (`group`) REFERENCES `group` (code)
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE product_images (
  id BINARY(16) NOT NULL,
  product_id INT UNSIGNED NOT NULL,
  mime VARCHAR(40) CHARACTER SET latin1 NOT NULL DEFAULT 'image/png',
  width SMALLINT UNSIGNED NOT NULL DEFAULT 0,
  height SMALLINT UNSIGNED NOT NULL DEFAULT 0,
  thumbnail BLOB NULL,
  alt_text VARCHAR(160) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NULL,
  PRIMARY KEY (id),
  KEY ix_product_images_product (product_id),
  CONSTRAINT fk_product_images_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE product_tags (
  product_id INT UNSIGNED NOT NULL,
  tag VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NOT NULL,
  PRIMARY KEY (product_id, tag),
  CONSTRAINT fk_product_tags_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE reviews (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  product_id INT UNSIGNED NOT NULL,
  user_id INT UNSIGNED NULL,
  stars TINYINT(1) NOT NULL COMMENT 'not a flag: 1 .. 5',
  title VARCHAR(120) CHARACTER SET latin1 NULL,
  body TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NULL,
  written_at DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00',
  PRIMARY KEY (id),
  KEY ix_reviews_product (product_id),
  KEY ix_reviews_user (user_id),
  CONSTRAINT fk_reviews_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE,
  CONSTRAINT fk_reviews_user FOREIGN KEY (user_id) REFERENCES users (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE product_specs (
  product_id INT UNSIGNED NOT NULL,
  attr_int_01 INT NULL,
  attr_int_02 INT NULL,
  attr_int_03 INT NULL,
  attr_int_04 INT NULL,
  attr_int_05 INT NULL,
  attr_int_06 INT NULL,
  attr_int_07 INT NULL,
  attr_int_08 INT NULL,
  attr_int_09 INT NULL,
  attr_int_10 INT NULL,
  attr_int_11 INT NULL,
  attr_int_12 INT NULL,
  attr_int_13 INT NULL,
  attr_int_14 INT NULL,
  attr_int_15 INT NULL,
  attr_int_16 INT NULL,
  attr_int_17 INT NULL,
  attr_int_18 INT NULL,
  attr_int_19 INT NULL,
  attr_int_20 INT NULL,
  attr_int_21 INT NULL,
  attr_int_22 INT NULL,
  attr_int_23 INT NULL,
  attr_int_24 INT NULL,
  attr_int_25 INT NULL,
  attr_int_26 INT NULL,
  attr_int_27 INT NULL,
  attr_int_28 INT NULL,
  attr_int_29 INT NULL,
  attr_int_30 INT NULL,
  attr_str_01 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_02 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_03 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_04 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_05 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_06 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_07 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_08 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_09 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_10 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_11 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_12 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_13 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_14 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_15 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_16 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_17 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_18 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_19 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_20 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_21 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_22 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_23 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_24 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_25 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_26 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_27 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_28 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_29 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_30 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_31 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_32 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_33 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_34 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_35 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_36 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_37 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_38 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_39 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_str_40 VARCHAR(20) CHARACTER SET latin1 NULL,
  attr_dec_01 DECIMAL(10,3) NULL,
  attr_dec_02 DECIMAL(10,3) NULL,
  attr_dec_03 DECIMAL(10,3) NULL,
  attr_dec_04 DECIMAL(10,3) NULL,
  attr_dec_05 DECIMAL(10,3) NULL,
  attr_dec_06 DECIMAL(10,3) NULL,
  attr_dec_07 DECIMAL(10,3) NULL,
  attr_dec_08 DECIMAL(10,3) NULL,
  attr_dec_09 DECIMAL(10,3) NULL,
  attr_dec_10 DECIMAL(10,3) NULL,
  attr_dec_11 DECIMAL(10,3) NULL,
  attr_dec_12 DECIMAL(10,3) NULL,
  attr_dec_13 DECIMAL(10,3) NULL,
  attr_dec_14 DECIMAL(10,3) NULL,
  attr_dec_15 DECIMAL(10,3) NULL,
  attr_dec_16 DECIMAL(10,3) NULL,
  attr_dec_17 DECIMAL(10,3) NULL,
  attr_dec_18 DECIMAL(10,3) NULL,
  attr_dec_19 DECIMAL(10,3) NULL,
  attr_dec_20 DECIMAL(10,3) NULL,
  attr_flag_01 TINYINT(1) NOT NULL DEFAULT 1,
  attr_flag_02 TINYINT(1) NOT NULL DEFAULT 0,
  attr_flag_03 TINYINT(1) NOT NULL DEFAULT 1,
  attr_flag_04 TINYINT(1) NOT NULL DEFAULT 0,
  attr_flag_05 TINYINT(1) NOT NULL DEFAULT 1,
  attr_flag_06 TINYINT(1) NOT NULL DEFAULT 0,
  attr_flag_07 TINYINT(1) NOT NULL DEFAULT 1,
  attr_flag_08 TINYINT(1) NOT NULL DEFAULT 0,
  attr_flag_09 TINYINT(1) NOT NULL DEFAULT 1,
  attr_flag_10 TINYINT(1) NOT NULL DEFAULT 0,
  attr_flag_11 TINYINT(1) NOT NULL DEFAULT 1,
  attr_flag_12 TINYINT(1) NOT NULL DEFAULT 0,
  attr_flag_13 TINYINT(1) NOT NULL DEFAULT 1,
  attr_flag_14 TINYINT(1) NOT NULL DEFAULT 0,
  attr_flag_15 TINYINT(1) NOT NULL DEFAULT 1,
  attr_flag_16 TINYINT(1) NOT NULL DEFAULT 0,
  attr_flag_17 TINYINT(1) NOT NULL DEFAULT 1,
  attr_flag_18 TINYINT(1) NOT NULL DEFAULT 0,
  attr_flag_19 TINYINT(1) NOT NULL DEFAULT 1,
  attr_flag_20 TINYINT(1) NOT NULL DEFAULT 0,
  attr_num_01 DOUBLE NULL,
  attr_num_02 DOUBLE NULL,
  attr_num_03 DOUBLE NULL,
  attr_num_04 DOUBLE NULL,
  attr_num_05 DOUBLE NULL,
  attr_num_06 DOUBLE NULL,
  attr_num_07 DOUBLE NULL,
  attr_num_08 DOUBLE NULL,
  attr_date_01 DATE NOT NULL DEFAULT '0000-00-00',
  attr_date_02 DATE NOT NULL DEFAULT '0000-00-00',
  attr_date_03 DATE NOT NULL DEFAULT '0000-00-00',
  attr_date_04 DATE NOT NULL DEFAULT '0000-00-00',
  attr_date_05 DATE NOT NULL DEFAULT '0000-00-00',
  attr_date_06 DATE NOT NULL DEFAULT '0000-00-00',
  attr_date_07 DATE NOT NULL DEFAULT '0000-00-00',
  attr_date_08 DATE NOT NULL DEFAULT '0000-00-00',
  revision INT NOT NULL DEFAULT 0,
  PRIMARY KEY (product_id),
  CONSTRAINT fk_product_specs_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COMMENT='the spreadsheet of the purchasing department';

-- ---------------------------------------------------------------- orders

CREATE TABLE coupons (
  code VARCHAR(24) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL,
  percent_off FLOAT NOT NULL DEFAULT 0,
  valid_until DATE NOT NULL DEFAULT '0000-00-00',
  used INT NOT NULL DEFAULT 0 COMMENT 'orders that carry the code',
  `desc` VARCHAR(120) CHARACTER SET latin1 NULL,
  PRIMARY KEY (code)
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE `order` (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  order_no VARCHAR(24) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL,
  user_id INT UNSIGNED NULL,
  status CHAR(1) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL DEFAULT 'N'
    COMMENT 'N new, P paid, S shipped, C cancelled, R refunded',
  items_count SMALLINT UNSIGNED NOT NULL DEFAULT 0,
  total DECIMAL(12,2) NOT NULL DEFAULT 0.00 COMMENT 'sum of the lines',
  paid DECIMAL(12,2) NOT NULL DEFAULT 0.00 COMMENT 'payments less refunds',
  total_display FLOAT NOT NULL DEFAULT 0 COMMENT 'what the old templates print',
  currency CHAR(3) CHARACTER SET latin1 NOT NULL DEFAULT 'EUR',
  coupon_code VARCHAR(24) CHARACTER SET latin1 COLLATE latin1_bin NULL,
  tracking_hash BIGINT UNSIGNED NULL,
  gift_message TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NULL,
  note VARCHAR(200) CHARACTER SET latin1 NULL,
  `desc` VARCHAR(40) CHARACTER SET latin1 NULL,
  delivery_slot TIME NULL COMMENT 'offset to noon, may be negative',
  cancelled TINYINT(1) NOT NULL DEFAULT 0,
  placed_at DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00',
  shipped_on DATE NOT NULL DEFAULT '0000-00-00',
  updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (id),
  UNIQUE KEY uq_order_order_no (order_no),
  KEY ix_order_user (user_id),
  KEY ix_order_coupon (coupon_code),
  CONSTRAINT fk_order_user FOREIGN KEY (user_id) REFERENCES users (id),
  CONSTRAINT fk_order_coupon FOREIGN KEY (coupon_code) REFERENCES coupons (code)
    ON DELETE SET NULL ON UPDATE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE order_items (
  order_id INT UNSIGNED NOT NULL,
  line_no TINYINT UNSIGNED NOT NULL,
  product_id INT UNSIGNED NOT NULL,
  warehouse TINYINT UNSIGNED NOT NULL DEFAULT 1,
  qty SMALLINT UNSIGNED NOT NULL,
  unit_price DECIMAL(12,2) NOT NULL,
  line_total DECIMAL(12,2) NOT NULL,
  tax_rate FLOAT NOT NULL DEFAULT 0.19,
  PRIMARY KEY (order_id, line_no),
  KEY ix_order_items_product (product_id),
  CONSTRAINT fk_order_items_order FOREIGN KEY (order_id) REFERENCES `order` (id) ON DELETE CASCADE,
  CONSTRAINT fk_order_items_product FOREIGN KEY (product_id) REFERENCES products (id)
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE payments (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  order_id INT UNSIGNED NOT NULL,
  payment_ref VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL,
  method ENUM('card','paypal','invoice','wallet','cash on delivery') CHARACTER SET latin1 NOT NULL DEFAULT 'card',
  amount DECIMAL(12,2) NOT NULL,
  card_hash BIGINT UNSIGNED NULL,
  paid_at DATETIME(3) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY uq_payments_ref (payment_ref),
  KEY ix_payments_order (order_id),
  CONSTRAINT fk_payments_order FOREIGN KEY (order_id) REFERENCES `order` (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE refunds (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  payment_id INT UNSIGNED NOT NULL,
  order_id INT UNSIGNED NOT NULL,
  refund_ref VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL,
  amount DECIMAL(12,2) NOT NULL,
  reason VARCHAR(80) CHARACTER SET latin1 NULL,
  refunded_at DATETIME NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY uq_refunds_ref (refund_ref),
  KEY ix_refunds_payment (payment_id),
  KEY ix_refunds_order (order_id),
  CONSTRAINT fk_refunds_payment FOREIGN KEY (payment_id) REFERENCES payments (id) ON DELETE CASCADE,
  CONSTRAINT fk_refunds_order FOREIGN KEY (order_id) REFERENCES `order` (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE shipments (
  carrier VARCHAR(12) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL,
  parcel_no BIGINT UNSIGNED NOT NULL COMMENT 'most are above 2^63',
  order_id INT UNSIGNED NULL,
  weight_kg FLOAT NOT NULL DEFAULT 0,
  transit TIME NULL COMMENT 'hours on the road, often more than a day',
  delivered TINYINT(1) NOT NULL DEFAULT 0,
  label BINARY(20) NULL COMMENT 'ends in zero bytes',
  PRIMARY KEY (carrier, parcel_no),
  KEY ix_shipments_order (order_id),
  CONSTRAINT fk_shipments_order FOREIGN KEY (order_id) REFERENCES `order` (id) ON DELETE SET NULL
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE stock (
  warehouse TINYINT UNSIGNED NOT NULL,
  product_id INT UNSIGNED NOT NULL,
  initial_qty INT NOT NULL DEFAULT 0,
  on_hand INT NOT NULL DEFAULT 0 COMMENT 'initial_qty plus all movements',
  shelf VARCHAR(12) CHARACTER SET latin1 NULL,
  counted_on DATE NOT NULL DEFAULT '0000-00-00',
  PRIMARY KEY (warehouse, product_id),
  KEY ix_stock_product (product_id),
  CONSTRAINT fk_stock_product FOREIGN KEY (product_id) REFERENCES products (id)
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE stock_movements (
  id BIGINT NOT NULL AUTO_INCREMENT,
  movement_ref VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL,
  warehouse TINYINT UNSIGNED NOT NULL,
  product_id INT UNSIGNED NOT NULL,
  kind ENUM('sale','return','restock','count') CHARACTER SET latin1 NOT NULL,
  qty INT NOT NULL,
  moved_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (id),
  UNIQUE KEY uq_stock_movements_ref (movement_ref),
  KEY ix_stock_movements_stock (warehouse, product_id),
  CONSTRAINT fk_stock_movements_stock FOREIGN KEY (warehouse, product_id) REFERENCES stock (warehouse, product_id)
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE audit_log (
  at DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00',
  actor VARCHAR(32) CHARACTER SET latin1 NULL,
  action VARCHAR(24) CHARACTER SET latin1 NOT NULL DEFAULT '',
  entity VARCHAR(24) CHARACTER SET latin1 NULL,
  entity_id BIGINT NULL,
  `desc` VARCHAR(200) CHARACTER SET latin1 NULL
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COMMENT='no key at all';

CREATE VIEW order_overview AS
  SELECT o.id, o.order_no, o.status, o.total, COUNT(i.line_no) AS line_count
    FROM `order` o LEFT JOIN order_items i ON i.order_id = o.id
   GROUP BY o.id, o.order_no, o.status, o.total;

-- JSON came with MySQL 5.7.8; on MariaDB it is LONGTEXT with a check. The comment keeps the statement whole on 5.6.
ALTER TABLE products COMMENT = 'the catalogue' /*!50708 , MODIFY attributes JSON NULL */ /*M!100207 , MODIFY attributes JSON NULL */;
ALTER TABLE users COMMENT = 'customers' /*!50708 , MODIFY preferences JSON NULL */ /*M!100207 , MODIFY preferences JSON NULL */;

SET SESSION foreign_key_checks = 1;
